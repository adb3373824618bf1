//! How mail looks: one pair of templates a sort, text and HTML that say the same.

mod chart;
mod png;
mod summary;

use crate::times;
use api::mail::{BrokenLetter, Letter, Mail, PortalLetter, SignInLetter, SpikeLetter, Typeset, TypesetError};
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

#[derive(Template)]
#[template(path = "mail/spike.txt")]
struct SpikeText<'a> {
    letter: &'a SpikeLetter,
    code: &'a str,
    since: &'a str,
}

#[derive(Template)]
#[template(path = "mail/spike.html")]
struct SpikeHtml<'a> {
    letter: &'a SpikeLetter,
    code: &'a str,
    since: &'a str,
}

fn spike(letter: &SpikeLetter) -> Result<Letter, TypesetError> {
    let code = if letter.code.is_empty() { "A code without a name" } else { letter.code.as_str() };
    let since = &times::moment(letter.since, &letter.time_zone);
    Ok(Letter {
        subject: format!("{code} is redeemed unusually often"),
        text: SpikeText { letter, code, since }.render()?,
        html: SpikeHtml { letter, code, since }.render()?,
        picture: None,
        // Money may be on its way to whoever abuses the code.
        unsubscribe: None,
    })
}

#[derive(Template)]
#[template(path = "mail/broken.txt")]
struct BrokenText<'a> {
    letter: &'a BrokenLetter,
    since: &'a str,
}

#[derive(Template)]
#[template(path = "mail/broken.html")]
struct BrokenHtml<'a> {
    letter: &'a BrokenLetter,
    since: &'a str,
}

fn broken(letter: &BrokenLetter) -> Result<Letter, TypesetError> {
    let since = &times::moment(letter.since, &letter.time_zone);
    Ok(Letter {
        subject: format!("The connection of {} to {} is broken", letter.workspace, letter.provider),
        text: BrokenText { letter, since }.render()?,
        html: BrokenHtml { letter, since }.render()?,
        picture: None,
        // Sales are missing until somebody acts.
        unsubscribe: None,
    })
}

impl Typeset for Letters {
    fn letter(&self, mail: &Mail) -> Result<Letter, TypesetError> {
        match mail {
            Mail::SignIn(letter) => Ok(Letter {
                // The code is not in the subject: it would be read from a locked screen.
                subject: "Your link to sign in to AffiliTrack".to_owned(),
                text: SignInText { letter }.render()?,
                html: SignInHtml { letter }.render()?,
                picture: None,
                // Whoever asked wants it.
                unsubscribe: None,
            }),
            Mail::Invite(letter) => Ok(Letter {
                subject: format!("{} invites you", letter.vendor),
                text: InviteText { letter }.render()?,
                html: InviteHtml { letter }.render()?,
                picture: None,
                // It comes once, from somebody whom the affiliate works with.
                unsubscribe: None,
            }),
            Mail::PortalLink(letter) => Ok(Letter {
                subject: format!("Your link to your figures at {}", letter.vendor),
                text: PortalLinkText { letter }.render()?,
                html: PortalLinkHtml { letter }.render()?,
                picture: None,
                unsubscribe: None,
            }),
            Mail::Spike(letter) => spike(letter),
            Mail::Broken(letter) => broken(letter),
            Mail::Summary(letter) => summary::letter(letter),
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

    #[test]
    fn a_broken_connection_says_the_same_in_both_forms_and_escapes_what_it_is_given() {
        let mail = Mail::Broken(BrokenLetter {
            workspace: "Acme <Analytics>".into(),
            provider: "Lemon Squeezy".into(),
            since: domain::ids::Timestamp(1_795_258_989_000),
            refused: 17,
            time_zone: "Europe/Berlin".into(),
            link: "https://track.example/acme/connections".into(),
            site: "track.example".into(),
        });
        let letter = Letters.letter(&mail).unwrap();
        for said in ["Lemon Squeezy", "at least 17", "21 Nov 2026, 12:03:09", "https://track.example/acme/connections"]
        {
            assert!(letter.text.contains(said) && letter.html.contains(said), "{said}");
        }
        assert!(letter.text.contains("Acme <Analytics>") && !letter.html.contains("<Analytics>"));
        assert_eq!(letter.subject, "The connection of Acme <Analytics> to Lemon Squeezy is broken");
    }

    #[test]
    fn a_spike_says_the_same_in_both_forms_and_escapes_what_it_is_given() {
        let mail = Mail::Spike(SpikeLetter {
            workspace: "Acme <Analytics>".into(),
            code: "MAYA20".into(),
            affiliate: "Maya Lind".into(),
            sentence: "was redeemed 14 times in 15 minutes by at least 8 customers; about 0.4 were expected".into(),
            since: domain::ids::Timestamp(1_795_258_989_000),
            time_zone: "Europe/Berlin".into(),
            link: "https://track.example/acme/alerts/a1".into(),
            site: "track.example".into(),
        });
        let letter = Letters.letter(&mail).unwrap();
        for said in ["MAYA20", "Maya Lind", "14 times in 15 minutes", "21 Nov 2026, 12:03:09", "acme/alerts/a1"] {
            assert!(letter.text.contains(said) && letter.html.contains(said), "{said}");
        }
        assert!(letter.text.contains("Acme <Analytics>") && !letter.html.contains("<Analytics>"));
        assert_eq!(letter.subject, "MAYA20 is redeemed unusually often");
    }
}
