//! Which trace and which span of it: what one process tells the next, in W3C's form.
//!
//! <https://www.w3.org/TR/trace-context/#traceparent-header>: `version-trace-parent-flags`, all in small hexadecimal
//! digits, for example `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`.

/// The request header that carries a context.
pub const TRACEPARENT: &str = "traceparent";

/// A span of a trace that is kept. Neither number is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceContext {
    /// The trace.
    pub(super) trace: u128,
    /// The span in it.
    pub(super) span: u64,
}

impl TraceContext {
    /// As the header of a log record carries it.
    pub fn to_header(self) -> String {
        format!("00-{:032x}-{:016x}-01", self.trace, self.span)
    }

    /// Reads what [`Self::to_header`] wrote. What is not understood, or not kept, is no context: a trace never stands in
    /// the way of a record.
    pub fn from_header(text: &str) -> Option<TraceContext> {
        parse_traceparent(text).and_then(|(context, is_kept)| is_kept.then_some(context))
    }
}

/// A context, and whether its trace is kept. Of a later version the known beginning is read, as the standard says.
pub(super) fn parse_traceparent(text: &str) -> Option<(TraceContext, bool)> {
    let mut parts = text.splitn(5, '-');
    let version = number(parts.next()?, 2)?;
    let trace = number(parts.next()?, 32)?;
    let span = number(parts.next()?, 16)?;
    let flags = number(parts.next()?, 2)?;
    let rest = parts.next();
    if version == 0xff || version == 0 && rest.is_some() || trace == 0 || span == 0 {
        return None;
    }
    let span = u64::try_from(span).ok()?;
    Some((TraceContext { trace, span }, flags & 1 == 1))
}

/// So many small hexadecimal digits.
fn number(text: &str, digits: usize) -> Option<u128> {
    let is_small_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_right = text.len() == digits && text.bytes().all(is_small_hex);
    is_right.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_context_comes_back_from_its_header() {
        let context = TraceContext::from_header(TEXT).expect("the standard's own example");
        assert_eq!(context.trace, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(context.span, 0x00f0_67aa_0ba9_02b7);
        assert_eq!(context.to_header(), TEXT);
        let small = TraceContext { trace: 1, span: 2 };
        assert_eq!(TraceContext::from_header(&small.to_header()), Some(small));
    }

    #[test]
    fn what_is_not_kept_is_no_context_of_a_record_but_is_understood() {
        let text = TEXT.replace("-01", "-00");
        assert_eq!(TraceContext::from_header(&text), None);
        assert!(matches!(parse_traceparent(&text), Some((_, false))));
        assert!(matches!(parse_traceparent(&TEXT.replace("-01", "-03")), Some((_, true))));
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = format!("{}-what-comes-then", TEXT.replacen("00", "01", 1));
        assert!(parse_traceparent(&later).is_some());
    }

    #[test]
    fn what_is_malformed_is_no_context() {
        let upper = TEXT.to_uppercase();
        let more = format!("{TEXT}-more");
        let invalid = TEXT.replacen("00", "ff", 1);
        let short = &TEXT[..TEXT.len() - 1];
        let cases = [
            "",
            "00",
            "nonsense",
            &upper,
            &more,
            &invalid,
            short,
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7é-01",
        ];
        for text in cases {
            assert_eq!(parse_traceparent(text), None, "{text}");
        }
    }
}
