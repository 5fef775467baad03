//! The names that a cookie and its domain can have.

/// Longest host name (RFC 1035, section 2.3.4, as text without a final dot).
const LONGEST_HOST: usize = 253;
/// Longest part of a host name between two dots.
const LONGEST_LABEL: usize = 63;

/// Longest name of a cookie. Browsers ignore a cookie whose name and value have more than 4096 bytes
/// together (RFC 6265bis, section 5.7).
const LONGEST_COOKIE_NAME: usize = 1024;

/// Prefixes of names that browsers take only with `Secure` (RFC 6265bis, section 4.1.3).
const SECURE_PREFIXES: [&str; 3] = ["__Host-", "__Secure-", "__Http-"];

/// Splits a cookie's name into the prefix that needs `Secure` and what follows. Browsers match the
/// prefixes without regard to case.
pub(super) fn split_prefix(name: &str) -> (Option<&'static str>, &str) {
    let prefix = SECURE_PREFIXES.into_iter().find(|prefix| {
        let start = name.get(..prefix.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    });
    let rest = prefix.map_or(name, |prefix| &name[prefix.len()..]);
    (prefix, rest)
}

/// The name without any prefix that needs `Secure`: behind one there can be another.
pub(super) fn without_prefixes(name: &str) -> &str {
    match split_prefix(name) {
        (None, name) => name,
        (Some(_), rest) => without_prefixes(rest),
    }
}

/// Says whether a cookie can have this name: a token of RFC 9110, section 5.6.2.
pub(super) fn is_cookie_name(name: &str) -> bool {
    let is_token_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=LONGEST_COOKIE_NAME).contains(&name.len()) && name.bytes().all(is_token_byte)
}

/// Says whether this is the name of a host, in its ASCII form.
///
/// An IP address is not, in any of the spellings that browsers take for one: browsers compare
/// addresses as a whole and ignore a cookie whose `Domain` is an address. An underscore is not a
/// host name's by the letter of RFC 1123, but browsers and name servers accept it.
pub(super) fn is_host_name(name: &str) -> bool {
    name.len() <= LONGEST_HOST
        && name.split('.').all(is_label)
        && name.rsplit('.').next().is_some_and(|last| !is_number(last))
}

fn is_label(label: &str) -> bool {
    let is_label_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=LONGEST_LABEL).contains(&label.len())
        && label.bytes().all(is_label_byte)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Says whether a last label makes an IPv4 address of the whole name (URL Standard, "ends in a
/// number checker").
fn is_number(label: &str) -> bool {
    let hexadecimal = ["0x", "0X"].iter().find_map(|it| label.strip_prefix(it));
    match hexadecimal {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_told_from_other_text() {
        let label = "a".repeat(63);
        let longest = [&*label, &label, &label, &label[..61]].join(".");
        for name in [
            "example.com",
            "shop.example.com",
            "EXAMPLE.com",
            "xn--bcher-kva.example",
            "my_shop.example",
            "1.example",
            "3com",
            "localhost",
            "0xyz",
            &longest,
        ] {
            assert!(is_host_name(name), "{name}");
        }
        for name in [
            "",
            ".",
            ".example.com",
            "example.com.",
            "a..b",
            "-x.example",
            "x-.example",
            "example.-com",
            "127.0.0.1",
            "127.1",
            "2130706433",
            "1.2.3.0x7f",
            "example.0x",
            "[::1]",
            "::1",
            "example.com:8080",
            "https://example.com",
            "example.com/",
            "a b.example",
            "*.example.com",
            "b\u{fc}cher.example",
            &format!("{label}a.example"),
            &format!("{longest}a"),
        ] {
            assert!(!is_host_name(name), "{name}");
        }
    }
}
