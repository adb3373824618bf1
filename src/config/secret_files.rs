//! Secrets that stand alone in a file, as container runtimes and systemd hand them out.

use std::io::Read;
use std::path::Path;

/// What the variable's name ends in, after the name of the secret's own variable.
pub const ENDING: &str = "_FILE";
/// More is no password and no address.
const MOST_BYTES: u64 = 64 * 1024;

/// The secret in a file, without the line break at its end; or what is wrong. Nothing of it is repeated.
pub fn read(path: &Path) -> Result<String, String> {
    let place = path.display();
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_string(&mut text));
    if let Err(error) = read {
        return Err(format!("{place} cannot be read ({error}): name a text file that this user may read"));
    }
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.is_empty() || text.len() as u64 > MOST_BYTES {
        return Err(format!("{place} must hold the secret and nothing else, at most 64 KiB"));
    }
    Ok(secret.to_owned())
}
