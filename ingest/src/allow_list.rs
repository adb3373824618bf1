//! The allow-list as a tree: which members of a provider's object are kept, and in what form.
//!
//! It is written as text (see `fields.rs`) and read once, by [`AllowList::parse`]:
//!
//! ```text
//! // a comment
//! discount { id start end customer# coupon:coupon }
//! ```
//!
//! A definition is a name and its members in braces. A member is a name and how to keep it:
//!
//! | written | kept |
//! |---|---|
//! | `total` | a scalar of any JSON type, exactly as it came |
//! | `customer#` | an id: a text, or the `id` of an object that stands in its place |
//! | `email@` | the keyed hash of an e-mail address |
//! | `fingerprint%` | the keyed hash of a card fingerprint |
//! | `client_reference_id~` | a text that starts with `ref_`, else null |
//! | `totals{ .. }` | an object with these members |
//! | `coupon:coupon` | an id, or an object with the members of an earlier definition |
//! | `data[]..` | an array of any of the above: `data[]`, `data[]#`, `data[]{..}`, `data[]:coupon` |

use std::collections::HashMap;
use std::iter::Peekable;
use std::str::Chars;

/// How many members one object may have in the list: one bit each, to notice duplicates.
pub const MAX_MEMBERS: usize = 128;
/// Slots of a lookup table: twice as many, so that some are always free.
const SLOTS: usize = 2 * MAX_MEMBERS;
/// A slot without a member.
const FREE: u8 = u8::MAX;

/// How a value is kept.
#[derive(Debug, Clone)]
pub enum Node {
    /// A scalar, exactly as it came.
    Keep,
    /// A text, or the `id` of an object.
    Id,
    /// The keyed hash of an e-mail address.
    Email,
    /// The keyed hash of a card fingerprint.
    Fingerprint,
    /// A text that starts with `ref_`.
    Referral,
    /// An object with these members.
    Object(Members),
    /// A text, or an object with these members.
    IdOrObject(Members),
    /// An array of values kept like this.
    Array(Box<Node>),
}

/// The members of an object that are kept.
#[derive(Debug, Clone)]
pub struct Members {
    list: Vec<Member>,
    /// Where a name's place in the list is, by its hash, then onwards to the next free slot. Most
    /// names of an event are not in the list and meet a free slot at once.
    slots: [u8; SLOTS],
}

impl Default for Members {
    fn default() -> Members {
        Members { list: Vec::new(), slots: [FREE; SLOTS] }
    }
}

/// One member that is kept.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name.
    pub name: Box<str>,
    /// `"name":`, as it is written.
    pub quoted: Box<[u8]>,
    /// How its value is kept.
    pub node: Node,
}

impl Members {
    /// The place of a member in the list.
    pub fn find(&self, name: &str) -> Option<usize> {
        let mut slot = first_slot(name);
        while self.slots[slot] != FREE {
            let place = usize::from(self.slots[slot]);
            if *self.list[place].name == *name {
                return Some(place);
            }
            slot = (slot + 1) % SLOTS;
        }
        None
    }

    /// The member at a place given by [`Members::find`].
    pub fn at(&self, place: usize) -> &Member {
        &self.list[place]
    }

    /// Adds a member, or puts another node in its place.
    pub fn insert(&mut self, name: &str, node: Node) {
        if let Some(known) = self.get_mut(name) {
            *known = node;
            return;
        }
        assert!(self.list.len() < MAX_MEMBERS, "too many members for one object of the allow-list");
        let mut slot = first_slot(name);
        while self.slots[slot] != FREE {
            slot = (slot + 1) % SLOTS;
        }
        self.slots[slot] = self.list.len() as u8;
        let quoted = format!("\"{name}\":").into_bytes().into();
        self.list.push(Member { name: name.into(), quoted, node });
    }

    /// A member, for changing it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Node> {
        let place = self.find(name)?;
        Some(&mut self.list[place].node)
    }
}

/// A cheap hash of a name: its length and three of its bytes.
fn first_slot(name: &str) -> usize {
    let bytes = name.as_bytes();
    let [Some(first), Some(middle), Some(last)] = [bytes.first(), bytes.get(bytes.len() / 2), bytes.last()] else {
        return 0;
    };
    let mixed = bytes.len() * 37 + usize::from(*first) * 5 + usize::from(*middle) * 11 + usize::from(*last) * 23;
    mixed % SLOTS
}

/// The definitions of one text.
#[derive(Debug, Default)]
pub struct AllowList {
    trees: HashMap<String, Members>,
}

/// What is wrong with the text of an allow-list.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllowListError {
    /// Something else was expected.
    #[error("allow-list, after {after:?}: expected {expected}")]
    Expected {
        /// The last name that was read.
        after: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// A name that is used before it is defined, or twice.
    #[error("allow-list: {0:?} is not defined before it is used, or twice")]
    Name(String),
}

impl AllowList {
    /// Reads a text of definitions.
    pub fn parse(text: &str) -> Result<AllowList, AllowListError> {
        let plain: String = text.lines().filter_map(|line| line.split("//").next()).collect::<Vec<_>>().join("\n");
        let mut parser = Parser { rest: plain.chars().peekable(), last: String::new(), list: AllowList::default() };
        while let Some(name) = parser.name() {
            let members = parser.members()?;
            if parser.list.trees.insert(name.clone(), members).is_some() {
                return Err(AllowListError::Name(name));
            }
        }
        match parser.peek() {
            None => Ok(parser.list),
            Some(_) => Err(parser.expected("a name")),
        }
    }

    /// A definition.
    pub fn tree(&self, name: &str) -> Result<&Members, AllowListError> {
        self.trees.get(name).ok_or_else(|| AllowListError::Name(name.to_owned()))
    }
}

struct Parser<'t> {
    rest: Peekable<Chars<'t>>,
    last: String,
    list: AllowList,
}

impl Parser<'_> {
    fn peek(&mut self) -> Option<char> {
        while self.rest.next_if(|character| character.is_whitespace()).is_some() {}
        self.rest.peek().copied()
    }

    fn take(&mut self, wanted: char) -> bool {
        self.rest.next_if_eq(&wanted).is_some()
    }

    fn expected(&self, expected: &'static str) -> AllowListError {
        AllowListError::Expected { after: self.last.clone(), expected }
    }

    fn name(&mut self) -> Option<String> {
        self.peek();
        let mut name = String::new();
        let is_name = |character: &char| character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '-');
        while let Some(character) = self.rest.next_if(is_name) {
            name.push(character);
        }
        self.last.clone_from(&name);
        (!name.is_empty()).then_some(name)
    }

    /// `{ member member .. }`
    fn members(&mut self) -> Result<Members, AllowListError> {
        self.peek();
        if !self.take('{') {
            return Err(self.expected("{"));
        }
        let mut members = Members::default();
        loop {
            if self.peek() == Some('}') {
                self.take('}');
                return Ok(members);
            }
            let name = self.name().ok_or_else(|| self.expected("a name or }"))?;
            let node = self.node()?;
            if members.find(&name).is_some() {
                return Err(AllowListError::Name(name));
            }
            members.insert(&name, node);
        }
    }

    /// What stands right behind a member's name.
    fn node(&mut self) -> Result<Node, AllowListError> {
        if self.take('[') {
            return match self.take(']') {
                true => Ok(Node::Array(Box::new(self.node()?))),
                false => Err(self.expected("]")),
            };
        }
        for (mark, node) in [('#', Node::Id), ('@', Node::Email), ('%', Node::Fingerprint), ('~', Node::Referral)] {
            if self.take(mark) {
                return Ok(node);
            }
        }
        if self.take(':') {
            let name = self.name().ok_or_else(|| self.expected("the name of a definition"))?;
            return Ok(Node::IdOrObject(self.list.tree(&name)?.clone()));
        }
        match self.rest.peek() {
            Some('{') => Ok(Node::Object(self.members()?)),
            _ => Ok(Node::Keep),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let text = "coupon { id }\n// why\ninvoice { total customer# mail@ card{ print% } ref~ data[]:coupon ids[]# }";
        let list = AllowList::parse(text).expect("well written");
        let invoice = list.tree("invoice").expect("defined");
        let node = |name: &str| &invoice.at(invoice.find(name).expect(name)).node;
        assert!(matches!(node("total"), Node::Keep));
        assert!(matches!(node("customer"), Node::Id));
        assert!(matches!(node("mail"), Node::Email));
        assert!(matches!(node("card"), Node::Object(members) if matches!(members.at(0).node, Node::Fingerprint)));
        assert!(matches!(node("ref"), Node::Referral));
        assert!(matches!(node("data"), Node::Array(inner) if matches!(**inner, Node::IdOrObject(_))));
        assert!(matches!(node("ids"), Node::Array(inner) if matches!(**inner, Node::Id)));
        assert_eq!(invoice.find("email"), None);
    }

    #[test]
    fn mistakes_are_named() {
        let error = |text: &str| AllowList::parse(text).expect_err(text).to_string();
        assert!(error("invoice { discount:coupon }").contains("coupon"));
        assert!(error("invoice { id id }").contains("id"));
        assert!(error("invoice { id").contains("a name or }"));
        assert!(error("invoice { data[ }").contains("]"));
        assert!(error("a { b } }").contains("a name"));
    }
}
