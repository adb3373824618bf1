//! Rust code as text: comments and literals blanked out, tests cut off, functions found. Not a parser; it knows just
//! enough to tell code from words about code.

/// One Rust file in the forms that the checks need. All forms have the same lines.
pub struct RustText {
    /// As it is.
    pub original: String,
    /// Comments, texts and characters replaced by blanks.
    pub code: String,
    /// Like `code`, with everything below `#[cfg(test)]` blanked too.
    pub product: String,
    /// The texts in it, without those in tests: line and content.
    pub literals: Vec<(usize, String)>,
}

/// One function of the product.
pub struct Function {
    /// Its name.
    pub name: String,
    /// The line it begins on, from 1.
    pub line: usize,
    /// How many lines it has, signature included.
    pub lines: usize,
}

impl RustText {
    /// Reads a file.
    pub fn new(original: &str) -> RustText {
        let (code, literals) = blank_comments_and_literals(original);
        let product = blank_tests(&code);
        let literals = literals
            .into_iter()
            .filter(|(position, _)| product.as_bytes().get(*position) == Some(&b'"'))
            .map(|(position, text)| (line_of(original, position), text))
            .collect();
        RustText { original: original.to_owned(), code, product, literals }
    }

    /// Lines of the product that are not empty: code and comments, without tests.
    pub fn product_lines(&self) -> usize {
        let tests = self.code.lines().zip(self.product.lines()).filter(|(code, product)| code != product).count();
        self.original.lines().count() - tests
    }

    /// Lines (from 1) on which this stands in the product's code, not as a part of a longer name.
    pub fn lines_with(&self, needle: &str) -> Vec<usize> {
        let is_name = |character: char| character.is_alphanumeric() || character == '_';
        let mut lines = Vec::new();
        for (position, _) in self.product.match_indices(needle) {
            let before = self.product[..position].chars().next_back().is_some_and(is_name);
            if !(before && needle.starts_with(is_name)) {
                lines.push(line_of(&self.product, position));
            }
        }
        lines
    }

    /// Every function with a body.
    pub fn functions(&self) -> Vec<Function> {
        let mut functions = Vec::new();
        for (position, _) in self.product.match_indices("fn ") {
            let starts_word = self.product[..position].chars().next_back().is_none_or(|before| before.is_whitespace());
            let name: String =
                self.product[position + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if !starts_word || name.is_empty() {
                continue;
            }
            if let Some(end) = end_of_item(&self.product, position) {
                let line = line_of(&self.product, position);
                functions.push(Function { name, line, lines: line_of(&self.product, end) - line + 1 });
            }
        }
        functions
    }
}

fn line_of(text: &str, position: usize) -> usize {
    text.as_bytes()[..position].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The position of the brace that closes the body of the item at `position`; none when it ends in `;` first.
fn end_of_item(code: &str, position: usize) -> Option<usize> {
    let mut braces = 0usize;
    let mut brackets = 0usize;
    for (offset, byte) in code.bytes().enumerate().skip(position) {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets = brackets.saturating_sub(1),
            b'{' => braces += 1,
            b'}' => {
                braces = braces.saturating_sub(1);
                if braces == 0 {
                    return Some(offset);
                }
            }
            b';' if braces == 0 && brackets == 0 => return None,
            _ => {}
        }
    }
    None
}

/// Blanks every item behind `#[cfg(test)]`.
fn blank_tests(code: &str) -> String {
    let mut bytes = code.as_bytes().to_vec();
    for (position, attribute) in code.match_indices("#[cfg(test)]") {
        let after = position + attribute.len();
        let end = end_of_item(code, after)
            .unwrap_or_else(|| code[after..].find(';').map_or(code.len() - 1, |found| after + found));
        for byte in &mut bytes[position..=end.min(code.len() - 1)] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }
    String::from_utf8(bytes).expect("only whole items were blanked")
}

/// Blanks comments and the insides of texts and characters (quotes stay), byte for byte, and returns the texts with
/// the position of their opening quote.
fn blank_comments_and_literals(original: &str) -> (String, Vec<(usize, String)>) {
    let bytes = original.as_bytes();
    let mut code = bytes.to_vec();
    let mut literals = Vec::new();
    let mut position = 0;
    while position < bytes.len() {
        let rest = &bytes[position..];
        let end = if rest.starts_with(b"//") {
            let end = position + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            blank(&mut code, position, end);
            end
        } else if rest.starts_with(b"/*") {
            let end = end_of_block_comment(bytes, position);
            blank(&mut code, position, end);
            end
        } else if let Some((open, close, end)) = text_at(bytes, position) {
            literals.push((open, String::from_utf8_lossy(&bytes[open + 1..close]).into_owned()));
            blank(&mut code, open + 1, close);
            end
        } else if let Some(end) = character_at(bytes, position) {
            blank(&mut code, position + 1, end - 1);
            end
        } else {
            position + 1
        };
        position = end;
    }
    let code = code.iter().map(|byte| if byte.is_ascii() { *byte } else { b' ' }).collect();
    (String::from_utf8(code).expect("only ASCII is left"), literals)
}

fn blank(code: &mut [u8], from: usize, to: usize) {
    for byte in &mut code[from..to] {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

fn end_of_block_comment(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0;
    let mut position = start;
    while position < bytes.len() {
        if bytes[position..].starts_with(b"/*") {
            depth += 1;
            position += 2;
        } else if bytes[position..].starts_with(b"*/") {
            depth -= 1;
            position += 2;
            if depth == 0 {
                return position;
            }
        } else {
            position += 1;
        }
    }
    bytes.len()
}

/// A text that begins here, raw or not: positions of its opening quote, its closing quote and what follows.
fn text_at(bytes: &[u8], position: usize) -> Option<(usize, usize, usize)> {
    let follows_name = position > 0 && (bytes[position - 1].is_ascii_alphanumeric() || bytes[position - 1] == b'_');
    if bytes[position] == b'"' {
        let mut close = position + 1;
        while close < bytes.len() && bytes[close] != b'"' {
            close += if bytes[close] == b'\\' { 2 } else { 1 };
        }
        let close = close.min(bytes.len() - 1);
        return Some((position, close, close + 1));
    }
    if bytes[position] != b'r' || (follows_name && bytes[position - 1] != b'b') {
        return None;
    }
    let hashes = bytes[position + 1..].iter().take_while(|byte| **byte == b'#').count();
    let open = position + 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return None;
    }
    let mut ending = vec![b'"'];
    ending.extend(std::iter::repeat_n(b'#', hashes));
    let length = bytes[open + 1..].windows(ending.len()).position(|window| window == ending)?;
    let close = open + 1 + length;
    Some((open, close, close + ending.len()))
}

/// The end of a character that begins here; none for a lifetime.
fn character_at(bytes: &[u8], position: usize) -> Option<usize> {
    if bytes[position] != b'\'' {
        return None;
    }
    let rest = std::str::from_utf8(&bytes[position + 1..(position + 16).min(bytes.len())])
        .or_else(|error| std::str::from_utf8(&bytes[position + 1..position + 1 + error.valid_up_to()]))
        .ok()?;
    let mut characters = rest.char_indices();
    let (_, first) = characters.next()?;
    if first == '\\' {
        characters.next()?;
        return rest[2..].find('\'').map(|found| position + 1 + 2 + found + 1);
    }
    let (next, quote) = characters.next()?;
    (quote == '\'').then_some(position + 1 + next + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = r##"
// unwrap() in words
fn short<'a>(text: &'a str) -> char {
    let _ = "SELECT {"; let _ = r#"{ " "#; let _ = '{'; let _ = '\''; let _ = '"';
    'ü'
}
/* fn gone() { /* nested */ } */
trait Has { fn no_body(&self, a: [u8; 3]); }
#[cfg(test)]
mod tests {
    fn helper() { x.unwrap(); let _ = "INSERT"; }
}
fn last() {}
"##;

    #[test]
    fn code_is_told_from_words() {
        let text = RustText::new(SAMPLE);
        let names: Vec<(String, usize)> =
            text.functions().into_iter().map(|function| (function.name, function.lines)).collect();
        assert_eq!(names, [("short".to_owned(), 4), ("last".to_owned(), 1)]);
        assert!(text.lines_with("unwrap()").is_empty());
        let literals: Vec<&str> = text.literals.iter().map(|(_, literal)| literal.as_str()).collect();
        assert_eq!(literals, ["SELECT {", "{ \" "]);
        assert_eq!(text.literals[0].0, 4);
        assert_eq!(text.code.lines().count(), SAMPLE.lines().count());
    }

    #[test]
    fn a_longer_name_is_another_name() {
        let text = RustText::new("fn a() { my_print!(); print!(); }");
        assert_eq!(text.lines_with("print!").len(), 1);
    }
}
