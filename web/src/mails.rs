//! How mail looks: one pair of templates a sort, text and HTML that say the same.

use api::mail::{Letter, Mail, SignInLetter, Typeset, TypesetError};
use askama::Template;

/// The product's own look.
#[derive(Debug, Clone, Copy, Default)]
pub struct Letters;

#[derive(Template)]
#[template(path = "mail/sign_in.txt")]
struct SignInText<'a> {
    letter: &'a SignInLetter,
}

#[derive(Template)]
#[template(path = "mail/sign_in.html")]
struct SignInHtml<'a> {
    letter: &'a SignInLetter,
}

impl Typeset for Letters {
    fn letter(&self, mail: &Mail) -> Result<Letter, TypesetError> {
        match mail {
            Mail::SignIn(letter) => Ok(Letter {
                // The code is not in the subject: it would be read from a locked screen.
                subject: "Your link to sign in to AffiliTrack".to_owned(),
                text: SignInText { letter }.render()?,
                html: SignInHtml { letter }.render()?,
                // Whoever asked wants it.
                unsubscribe: None,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_says_the_same_in_both_forms_and_escapes_what_it_is_given() {
        let mail = Mail::SignIn(SignInLetter {
            link: "https://track.example/sign-in/link/ab12".into(),
            code: "012345".into(),
            minutes: 15,
            site: "<track>.example".into(),
        });
        let letter = Letters.letter(&mail).unwrap();
        for said in ["https://track.example/sign-in/link/ab12", "012345", "15 minutes"] {
            assert!(letter.text.contains(said) && letter.html.contains(said), "{said}");
        }
        assert!(letter.text.contains("<track>.example") && !letter.html.contains("<track>"));
        assert!(!letter.subject.contains("012345"));
    }
}
