//! How mail looks: one pair of templates a sort, text and HTML that say the same.

use api::mail::{Letter, Mail, PortalLetter, SignInLetter, Typeset, TypesetError};
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

#[derive(Template)]
#[template(path = "mail/invite.txt")]
struct InviteText<'a> {
    letter: &'a PortalLetter,
}

#[derive(Template)]
#[template(path = "mail/invite.html")]
struct InviteHtml<'a> {
    letter: &'a PortalLetter,
}

#[derive(Template)]
#[template(path = "mail/portal_link.txt")]
struct PortalLinkText<'a> {
    letter: &'a PortalLetter,
}

#[derive(Template)]
#[template(path = "mail/portal_link.html")]
struct PortalLinkHtml<'a> {
    letter: &'a PortalLetter,
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
            Mail::Invite(letter) => Ok(Letter {
                subject: format!("{} invites you", letter.vendor),
                text: InviteText { letter }.render()?,
                html: InviteHtml { letter }.render()?,
                // It comes once, from somebody whom the affiliate works with.
                unsubscribe: None,
            }),
            Mail::PortalLink(letter) => Ok(Letter {
                subject: format!("Your link to your figures at {}", letter.vendor),
                text: PortalLinkText { letter }.render()?,
                html: PortalLinkHtml { letter }.render()?,
                unsubscribe: None,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_and_a_link_say_the_same_in_both_forms_and_escape_names() {
        let letter = PortalLetter {
            link: "https://track.example/portal/link/ab12".into(),
            vendor: "Tiny <b>Tools</b>".into(),
            affiliate: "Maya".into(),
            good_for: "14 days".into(),
        };
        for mail in [Mail::Invite(letter.clone()), Mail::PortalLink(letter)] {
            let letter = Letters.letter(&mail).unwrap();
            for said in ["https://track.example/portal/link/ab12", "Maya", "14 days"] {
                assert!(letter.text.contains(said) && letter.html.contains(said), "{said}");
            }
            assert!(letter.text.contains("Tiny <b>Tools</b>") && !letter.html.contains("<b>"));
            assert!(letter.subject.contains("Tiny"));
        }
    }

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
