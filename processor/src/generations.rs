//! A bounded cache: what was put in lately, and what was put in before that.

use std::collections::HashMap;
use std::hash::Hash;

/// Holds at most about twice `limit` values. What is not put in again is forgotten when two more generations have
/// filled up. Nothing is forgotten between two calls of [`Generations::turn_over`], so whoever needs its values until
/// some moment calls it only then.
pub(crate) struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    limit: usize,
}

impl<K: Eq + Hash, V> Generations<K, V> {
    /// Empty; a generation ends with `limit` values.
    pub fn new(limit: usize) -> Generations<K, V> {
        Generations { young: HashMap::new(), old: HashMap::new(), limit }
    }

    /// A value, if it is held.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// Puts a value in, in place of the one it has.
    pub fn insert(&mut self, key: K, value: V) {
        // An older value may stay in `old`: it is never seen while this one is here, and goes first.
        self.young.insert(key, value);
    }

    /// Takes a value out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let older = self.old.remove(key);
        self.young.remove(key).or(older)
    }

    /// Forgets the older generation if the younger one is full.
    pub fn turn_over(&mut self) {
        if self.young.len() >= self.limit {
            self.old = std::mem::take(&mut self.young);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_lately_is_held_and_the_rest_is_bounded() {
        let mut cache = Generations::new(10);
        for key in 0..1_000 {
            cache.insert(key, key);
            cache.turn_over();
            assert_eq!(cache.get(&key), Some(&key), "what was put in last is held");
            assert!(cache.young.len() + cache.old.len() <= 20);
        }
        assert_eq!(
            (cache.get(&990), cache.get(&989)),
            (Some(&990), None),
            "the last full generation, and none before it"
        );
    }

    #[test]
    fn nothing_is_forgotten_before_it_turns_over() {
        let mut cache = Generations::new(10);
        (0..1_000).for_each(|key| cache.insert(key, key));
        assert!((0..1_000).all(|key| cache.get(&key).is_some()));
    }

    #[test]
    fn an_older_value_never_comes_back() {
        let mut cache = Generations::new(1);
        cache.insert("a", 1);
        cache.turn_over();
        cache.insert("a", 2);
        assert_eq!(cache.get(&"a"), Some(&2));
        assert_eq!(cache.remove(&"a"), Some(2));
        assert_eq!(cache.get(&"a"), None);
        cache.insert("a", 3);
        cache.turn_over();
        cache.turn_over();
        assert_eq!(cache.get(&"a"), Some(&3), "an empty generation pushes nothing out");
    }
}
