//! Addresses of pages. Every view's address carries its filters.

use url::form_urlencoded;

/// An address being put together.
#[derive(Debug, Clone)]
pub struct Link {
    path: String,
    query: String,
}

impl Link {
    /// The path of these segments.
    pub fn to(segments: &[&str]) -> Link {
        let mut path = String::new();
        for segment in segments {
            path.push('/');
            // The form encoding differs from a path's only in the space.
            path.push_str(&form_urlencoded::byte_serialize(segment.as_bytes()).collect::<String>().replace('+', "%20"));
        }
        Link { path, query: String::new() }
    }

    /// With a parameter.
    pub fn with(mut self, name: &str, value: &str) -> Link {
        self.query.push(if self.query.is_empty() { '?' } else { '&' });
        self.query.push_str(name);
        self.query.push('=');
        self.query.extend(form_urlencoded::byte_serialize(value.as_bytes()));
        self
    }

    /// With a parameter that may be absent or empty.
    pub fn with_some(self, name: &str, value: Option<&str>) -> Link {
        match value {
            Some(value) if !value.is_empty() => self.with(name, value),
            _ => self,
        }
    }

    /// As text.
    pub fn build(self) -> String {
        self.path + &self.query
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_place() {
        let link =
            Link::to(&["demo", "purchases", "inv:a/b c?+"]).with("q", "x&y=1").with_some("none", Some("")).build();
        assert_eq!(link, "/demo/purchases/inv%3Aa%2Fb%20c%3F%2B?q=x%26y%3D1");
    }
}
