//! Copies the allowed part of a JSON text, in one pass, without building a tree of it.
//!
//! The walk goes as deep as the allow-list does and no deeper: what is not in the list is skipped
//! by the parser's own loop, which needs no stack. So the depth of the input does not matter.
//! Scalars are copied as text: `9223372036854775808`, `1E400` and a wrongly typed amount come out
//! as they went in, for the processor to judge.

use crate::allow_list::{Members, Node};
use crate::signature::keyed;
use hmac::Mac;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Longest scalar that is kept, in bytes of JSON text without the quotes.
pub const MAX_SCALAR_BYTES: usize = 512;
/// Most elements of one array that are kept; its object says `"_truncated":true` when there were more.
pub const MAX_ELEMENTS: usize = 250;
/// Bytes of a keyed hash that are kept.
const HASH_BYTES: usize = 16;

/// Where the copy goes.
pub struct Sink<'k> {
    hash_key: &'k [u8; 32],
    out: Vec<u8>,
    cut_values: u32,
    truncated: bool,
}

/// A finished copy.
pub struct Copied {
    /// JSON text.
    pub text: Vec<u8>,
    /// How many values were too long and became null.
    pub cut_values: u32,
}

/// Copies what `members` allows of the object in `text`.
pub fn copy_allowed(text: &str, members: &Members, hash_key: &[u8; 32]) -> Result<Copied, serde_json::Error> {
    let mut sink = Sink { hash_key, out: Vec::with_capacity(2048), cut_values: 0, truncated: false };
    let mut input = serde_json::Deserializer::from_str(text);
    input.deserialize_any(ObjectCopy { members, sink: &mut sink, or_id: false })?;
    input.end()?;
    Ok(Copied { text: sink.out, cut_values: sink.cut_values })
}

/// The keyed hash that stands for a text: `h:` and 16 bytes of HMAC-SHA256 in hex.
pub fn keyed_hash(hash_key: &[u8; 32], text: &str) -> String {
    let mut mac = keyed(hash_key);
    mac.update(text.as_bytes());
    format!("h:{}", hex::encode(&mac.finalize().into_bytes()[..HASH_BYTES]))
}

impl Sink<'_> {
    fn null(&mut self) {
        self.out.extend_from_slice(b"null");
    }

    /// A scalar as it came; of an object or array only that it was one.
    fn scalar(&mut self, raw: &str) {
        match raw.as_bytes().first() {
            Some(b'{') => self.out.extend_from_slice(b"{}"),
            Some(b'[') => self.out.extend_from_slice(b"[]"),
            _ if raw.trim_matches('"').len() > MAX_SCALAR_BYTES => {
                self.cut_values += 1;
                self.null();
            }
            _ => self.out.extend_from_slice(raw.as_bytes()),
        }
    }

    /// A text that the parser has already read.
    fn text(&mut self, text: &str) {
        if text.len() > MAX_SCALAR_BYTES {
            self.cut_values += 1;
            return self.null();
        }
        serde_json::to_writer(&mut self.out, text).expect("a text can be written to memory");
    }

    fn email(&mut self, raw: &str) {
        let hash_key = self.hash_key;
        self.hashed(raw, |email| keyed_hash(hash_key, &email.trim().to_lowercase()));
    }

    fn fingerprint(&mut self, raw: &str) {
        let hash_key = self.hash_key;
        self.hashed(raw, |fingerprint| keyed_hash(hash_key, fingerprint));
    }

    fn hashed(&mut self, raw: &str, hash: impl Fn(&str) -> String) {
        match decoded(raw).filter(|text| !text.trim().is_empty()) {
            Some(text) => self.text(&hash(&text)),
            None => self.null(),
        }
    }

    /// A referral key. Anything else in its place is the vendor's own value and none of ours.
    fn referral(&mut self, raw: &str) {
        match decoded(raw) {
            Some(text) if text.starts_with("ref_") => self.scalar(raw),
            _ => self.null(),
        }
    }
}

/// The text of a JSON string; none for any other value.
fn decoded(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(raw).ok().map(Cow::Owned)
}

/// Copies one value as its node says.
struct ValueCopy<'s, 'k, 'n> {
    node: &'n Node,
    sink: &'s mut Sink<'k>,
}

impl<'de> DeserializeSeed<'de> for ValueCopy<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        let sink = self.sink;
        match self.node {
            Node::Keep => sink.scalar(raw(input)?),
            Node::Email => sink.email(raw(input)?),
            Node::Fingerprint => sink.fingerprint(raw(input)?),
            Node::Referral => sink.referral(raw(input)?),
            Node::Id => input.deserialize_any(IdCopy { sink })?,
            Node::Object(members) => input.deserialize_any(ObjectCopy { members, sink, or_id: false })?,
            Node::IdOrObject(members) => input.deserialize_any(ObjectCopy { members, sink, or_id: true })?,
            Node::Array(node) => input.deserialize_any(ArrayCopy { node, sink })?,
        }
        Ok(())
    }
}

fn raw<'de, D: Deserializer<'de>>(input: D) -> Result<&'de str, D::Error> {
    <&RawValue as serde::Deserialize>::deserialize(input).map(RawValue::get)
}

/// The scalars of a visitor that wants a container: null, and whatever else is said.
macro_rules! scalars_become_null {
    () => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("JSON")
        }
        fn visit_unit<E: Error>(self) -> Result<(), E> {
            self.sink.null();
            Ok(())
        }
        fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
            self.visit_unit()
        }
        fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
            self.visit_unit()
        }
        fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
            self.visit_integer(i128::from(number))
        }
        fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
            self.visit_integer(i128::from(number))
        }
    };
}

/// Copies an object's allowed members; with `or_id`, also a text or whole number in its place.
struct ObjectCopy<'s, 'k, 'n> {
    members: &'n Members,
    sink: &'s mut Sink<'k>,
    or_id: bool,
}

impl ObjectCopy<'_, '_, '_> {
    fn visit_integer<E>(self, number: i128) -> Result<(), E> {
        match self.or_id {
            true => self.sink.out.extend_from_slice(number.to_string().as_bytes()),
            false => self.sink.null(),
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for ObjectCopy<'_, '_, '_> {
    type Value = ();
    scalars_become_null!();

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self.or_id {
            true => self.sink.text(text),
            false => self.sink.null(),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        self.sink.out.extend_from_slice(b"[]");
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let ObjectCopy { members, sink, .. } = self;
        let outer_truncated = std::mem::take(&mut sink.truncated);
        let mut seen = 0u128;
        let mut opener = b'{';
        while let Some(place) = entries.next_key_seed(MemberName { members })? {
            let Some(place) = place else {
                entries.next_value::<IgnoredAny>()?;
                continue;
            };
            let member = members.at(place);
            if seen & (1 << place) != 0 {
                return Err(A::Error::custom(format_args!("member {:?} stands twice in one object", member.name)));
            }
            seen |= 1 << place;
            sink.out.push(opener);
            opener = b',';
            sink.out.extend_from_slice(&member.quoted);
            entries.next_value_seed(ValueCopy { node: &member.node, sink })?;
        }
        if opener == b'{' {
            sink.out.push(opener);
        }
        if std::mem::replace(&mut sink.truncated, outer_truncated) {
            sink.out.extend_from_slice(b",\"_truncated\":true");
        }
        sink.out.push(b'}');
        Ok(())
    }
}

/// Copies an id: a text, a whole number, or the `id` of an object.
struct IdCopy<'s, 'k> {
    sink: &'s mut Sink<'k>,
}

impl IdCopy<'_, '_> {
    fn visit_integer<E>(self, number: i128) -> Result<(), E> {
        self.sink.out.extend_from_slice(number.to_string().as_bytes());
        Ok(())
    }
}

impl<'de> Visitor<'de> for IdCopy<'_, '_> {
    type Value = ();
    scalars_become_null!();

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.sink.text(text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        self.sink.null();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut id: Option<&'de RawValue> = None;
        while let Some(is_id) = entries.next_key_seed(IsId)? {
            match is_id {
                true => id = Some(entries.next_value()?),
                false => {
                    entries.next_value::<IgnoredAny>()?;
                }
            }
        }
        match id.map(RawValue::get).filter(|raw| raw.starts_with('"')) {
            Some(raw) => self.sink.scalar(raw),
            None => self.sink.null(),
        }
        Ok(())
    }
}

/// Copies the first elements of an array.
struct ArrayCopy<'s, 'k, 'n> {
    node: &'n Node,
    sink: &'s mut Sink<'k>,
}

impl ArrayCopy<'_, '_, '_> {
    fn visit_integer<E>(self, _: i128) -> Result<(), E> {
        self.sink.null();
        Ok(())
    }
}

impl<'de> Visitor<'de> for ArrayCopy<'_, '_, '_> {
    type Value = ();
    scalars_become_null!();

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.sink.out.extend_from_slice(b"{}");
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let ArrayCopy { node, sink } = self;
        sink.out.push(b'[');
        for count in 0..MAX_ELEMENTS {
            let before = sink.out.len();
            if count > 0 {
                sink.out.push(b',');
            }
            if elements.next_element_seed(ValueCopy { node, sink })?.is_none() {
                sink.out.truncate(before);
                break;
            }
        }
        while elements.next_element::<IgnoredAny>()?.is_some() {
            sink.truncated = true;
        }
        sink.out.push(b']');
        Ok(())
    }
}

/// Reads a member's name as its place in the allow-list.
struct MemberName<'n> {
    members: &'n Members,
}

impl<'de> DeserializeSeed<'de> for MemberName<'_> {
    type Value = Option<usize>;
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Option<usize>, D::Error> {
        input.deserialize_str(self)
    }
}

impl Visitor<'_> for MemberName<'_> {
    type Value = Option<usize>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }
    fn visit_str<E: Error>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.members.find(name))
    }
}

/// Reads a member's name: is it `id`?
struct IsId;

impl<'de> DeserializeSeed<'de> for IsId {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<bool, D::Error> {
        input.deserialize_str(self)
    }
}

impl Visitor<'_> for IsId {
    type Value = bool;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }
    fn visit_str<E: Error>(self, name: &str) -> Result<bool, E> {
        Ok(name == "id")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allow_list::AllowList;

    const LIST: &str = "
        coupon { id percent_off }
        thing { id total customer# mail@ card{ print% } ref~ coupon:coupon lines{ data[]{ amount } has_more } tags[] }";

    fn copy(text: &str) -> Result<String, serde_json::Error> {
        let list = AllowList::parse(LIST).expect("well written");
        let copied = copy_allowed(text, list.tree("thing").expect("defined"), &[7; 32])?;
        Ok(String::from_utf8(copied.text).expect("text"))
    }

    fn check(input: &str, expected: &str) {
        assert_eq!(copy(input).expect(input), expected, "of {input}");
    }

    #[test]
    fn only_what_is_listed_passes() {
        check(r#" { "name" : "Ann", "total" : 5 , "x":{"total":1} } "#, r#"{"total":5}"#);
        check("{}", "{}");
        check(r#"{"card":{"number":"4242"}}"#, r#"{"card":{}}"#);
    }

    #[test]
    fn scalars_pass_as_they_came() {
        let numbers = ["9223372036854775807", "9223372036854775808", "-1e400", "1.50", "\"12\"", "true", "null"];
        for number in numbers {
            check(&format!(r#"{{"total":{number}}}"#), &format!(r#"{{"total":{number}}}"#));
        }
        check(r#"{"total":{"a":1}}"#, r#"{"total":{}}"#);
        check(r#"{"total":[1,2]}"#, r#"{"total":[]}"#);
        check(r#"{"total":"a\"\u00e9"}"#, r#"{"total":"a\"\u00e9"}"#);
    }

    #[test]
    fn ids_come_out_as_ids() {
        check(r#"{"customer":"cus_1"}"#, r#"{"customer":"cus_1"}"#);
        check(r#"{"customer":{"id":"cus_1","deleted":true,"email":"a@b"}}"#, r#"{"customer":"cus_1"}"#);
        check(r#"{"customer":null}"#, r#"{"customer":null}"#);
        check(r#"{"customer":{"name":"Ann"}}"#, r#"{"customer":null}"#);
        check(r#"{"customer":{"id":{"id":"deep"}}}"#, r#"{"customer":null}"#);
        check(r#"{"customer":[["x"]]}"#, r#"{"customer":null}"#);
        check(r#"{"customer":77}"#, r#"{"customer":77}"#);
        check(r#"{"coupon":"C"}"#, r#"{"coupon":"C"}"#);
        check(r#"{"coupon":{"name":"n","percent_off":20.5,"id":"C"}}"#, r#"{"coupon":{"percent_off":20.5,"id":"C"}}"#);
    }

    #[test]
    fn wrong_containers_carry_nothing() {
        check(r#"{"lines":"Ann"}"#, r#"{"lines":null}"#);
        check(r#"{"lines":["Ann"]}"#, r#"{"lines":[]}"#);
        check(r#"{"lines":{"data":{"name":"Ann"}}}"#, r#"{"lines":{"data":{}}}"#);
        check(r#"{"lines":{"data":["Ann",{"amount":1,"name":"Ann"}]}}"#, r#"{"lines":{"data":[null,{"amount":1}]}}"#);
        check(r#"{"lines":5,"tags":true,"card":1.5}"#, r#"{"lines":null,"tags":null,"card":null}"#);
    }

    #[test]
    fn personal_values_become_keyed_hashes() {
        let hash = keyed_hash(&[7; 32], "ann@example.com");
        assert_eq!(hash.len(), 2 + 2 * HASH_BYTES);
        assert_ne!(hash, keyed_hash(&[8; 32], "ann@example.com"));
        check(r#"{"mail":" Ann@Example.com"}"#, &format!(r#"{{"mail":"{hash}"}}"#));
        check(r#"{"mail":"\u0061nn@example.com"}"#, &format!(r#"{{"mail":"{hash}"}}"#));
        check(r#"{"mail":{"a":"ann@example.com"}}"#, r#"{"mail":null}"#);
        check(r#"{"mail":"  "}"#, r#"{"mail":null}"#);
        let print = keyed_hash(&[7; 32], "aB3");
        check(r#"{"card":{"print":"aB3"}}"#, &format!(r#"{{"card":{{"print":"{print}"}}}}"#));
    }

    #[test]
    fn only_our_referral_keys_pass() {
        check(r#"{"ref":"ref_ines"}"#, r#"{"ref":"ref_ines"}"#);
        check(r#"{"ref":"\u0072ef_ines"}"#, r#"{"ref":"\u0072ef_ines"}"#);
        check(r#"{"ref":"user_8812"}"#, r#"{"ref":null}"#);
        check(r#"{"ref":5}"#, r#"{"ref":null}"#);
    }

    #[test]
    fn long_values_are_cut_and_counted() {
        let list = AllowList::parse(LIST).expect("well written");
        let long = "x".repeat(MAX_SCALAR_BYTES + 1);
        let text = format!(r#"{{"id":"{long}","coupon":"{long}","total":"{}"}}"#, &long[1..]);
        let copied = copy_allowed(&text, list.tree("thing").expect("defined"), &[7; 32]).expect("JSON");
        assert_eq!(copied.cut_values, 2);
        let expected = format!(r#"{{"id":null,"coupon":null,"total":"{}"}}"#, &long[1..]);
        assert_eq!(String::from_utf8(copied.text).expect("text"), expected);
    }

    #[test]
    fn long_arrays_are_cut_and_say_so() {
        let elements = vec![r#"{"amount":1}"#; MAX_ELEMENTS + 1].join(",");
        let text = copy(&format!(r#"{{"lines":{{"data":[{elements}],"has_more":false}},"total":1}}"#)).expect("JSON");
        assert_eq!(text.matches("amount").count(), MAX_ELEMENTS);
        assert!(text.ends_with(r#""has_more":false,"_truncated":true},"total":1}"#), "{text}");
        check(r#"{"tags":[]}"#, r#"{"tags":[]}"#);
        check(r#"{"tags":["a",1,[2]]}"#, r#"{"tags":["a",1,[]]}"#);
    }

    #[test]
    fn a_listed_member_may_stand_once() {
        let error = copy(r#"{"total":1,"total":2}"#).expect_err("ambiguous").to_string();
        assert!(error.contains("\"total\" stands twice"), "{error}");
        check(r#"{"name":1,"name":2}"#, "{}");
    }

    #[test]
    fn depth_needs_no_stack() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for member in ["total", "customer", "mail", "ref", "coupon", "lines", "tags", "card", "other"] {
            let copied = copy(&format!(r#"{{"{member}":{deep},"id":"x"}}"#)).expect(member);
            assert!(copied.ends_with(r#""id":"x"}"#) && copied.len() < 60, "{copied}");
        }
        assert!(copy(&"[".repeat(100_000)).is_err());
        assert!(copy(&format!(r#"{{"total":{}"#, r#"{"a":"#.repeat(100_000))).is_err());
    }
}
