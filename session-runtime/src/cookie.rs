//! The cookie: reading the tokens of a request, and writing the header of a response.

use std::fmt::Write as _;
use std::time::Duration;

use http::header::{COOKIE, HOST, HeaderMap, HeaderValue, ORIGIN, REFERER, SET_COOKIE};
use http::uri::Authority;

use crate::signature::Signer;
use crate::token::Token;

/// Longest time that browsers keep a cookie (RFC 6265bis, section 5.5).
pub(crate) const LONGEST_MAX_AGE: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// Most tokens that are taken from one request.
pub(crate) const MOST_TOKENS: usize = 4;

/// The requests that another site started and that carry the cookie (RFC 6265bis, section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SameSite {
    /// None at all: a visitor who follows a link to this site arrives without the cookie.
    Strict,
    /// Only those of a visitor who follows a link to this site. The default.
    Lax,
    /// All of them, also of pages that embed this site. Browsers accept it only beside `Secure`.
    None,
}

/// The attributes of the session's cookie. The builder has checked that they fit together.
#[derive(Debug, Clone)]
pub(crate) struct CookieSettings {
    pub(crate) name: String,
    /// Whether the name takes the port that a request is for.
    pub(crate) takes_port: bool,
    pub(crate) domain: Option<String>,
    pub(crate) same_site: SameSite,
    pub(crate) secure: bool,
    pub(crate) partitioned: bool,
    pub(crate) persistent: bool,
    /// Signs the token; `None` without keys.
    pub(crate) signer: Option<Signer>,
}

/// The tokens that a request carries in cookies of our name.
#[derive(Debug, Default)]
pub(crate) struct Presented {
    /// The first tokens that differ, in the order of the request, and `None` behind them.
    tokens: [Option<Token>; MOST_TOKENS],
    /// Whether there was a token that we did not sign. It is not among the tokens.
    pub(crate) forged: bool,
}

impl Presented {
    /// Iterates over the tokens: none, usually one, and at most [`MOST_TOKENS`] that differ.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &Token> {
        self.tokens.iter().flatten()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tokens().next().is_none()
    }

    fn is_full(&self) -> bool {
        self.tokens.iter().all(Option::is_some)
    }

    /// Adds a token unless it is there already or there are enough.
    fn add(&mut self, token: Token) {
        if self.tokens().any(|known| *known == token) {
            return;
        }
        if let Some(free) = self.tokens.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(token);
        }
    }
}

impl CookieSettings {
    /// Returns the settings for one request; `None` where they are these. Where the name takes the
    /// port, two programs on one host keep their cookies apart: to a browser all ports of a host are
    /// one place (RFC 6265, section 8.5).
    pub(crate) fn for_request<B>(&self, request: &http::Request<B>) -> Option<Box<Self>> {
        if !self.takes_port {
            return None;
        }
        let port = port_of(request)?;
        let mut own = self.clone();
        own.name = format!("{}-{port}", self.name);
        Some(Box::new(own))
    }

    /// Reads the tokens of the cookies of our name, up to [`MOST_TOKENS`] that differ.
    ///
    /// The headers are parsed by hand because bytes that are not text must not hide the cookies
    /// beside them, and because HTTP/2 may split the cookies over several headers
    /// (RFC 9113, section 8.2.3).
    pub(crate) fn presented(&self, headers: &HeaderMap) -> Presented {
        let mut presented = Presented::default();
        let pairs = headers
            .get_all(COOKIE)
            .iter()
            .flat_map(|header| header.as_bytes().split(|&byte| byte == b';'));
        for pair in pairs {
            let Some(equals) = pair.iter().position(|&byte| byte == b'=') else {
                continue;
            };
            let (name, value) = (&pair[..equals], &pair[equals + 1..]);
            if name.trim_ascii() != self.name.as_bytes() {
                continue;
            }
            let Some(token) = self.token(unquoted(value.trim_ascii()), &mut presented.forged)
            else {
                continue;
            };
            presented.add(token);
            if presented.is_full() {
                break;
            }
        }
        presented
    }

    /// Reads the token of a cookie's value. A token that was not signed here sets `forged`.
    fn token(&self, value: &[u8], forged: &mut bool) -> Option<Token> {
        let Some(signer) = &self.signer else {
            return Token::parse(value);
        };
        if let Some(token) = signer.verify(value) {
            return Token::parse(token);
        }
        let unsigned = value.split(|&byte| byte == b'.').next()?;
        *forged |= Token::parse(unsigned).is_some();
        None
    }

    /// Returns whether a browser will not send our cookie back, as far as the request shows: it
    /// comes from a page of this host that was loaded over plain http.
    ///
    /// This is a hint to developers only: a proxy in front of the program can change the request's
    /// headers, so nothing else may depend on it.
    pub(crate) fn is_lost_over_http(&self, headers: &HeaderMap) -> bool {
        let Some(host) = headers.get(HOST).filter(|_| self.secure) else {
            return false;
        };
        let pages = [ORIGIN, REFERER];
        let mut pages = pages.iter().filter_map(|name| headers.get(name));
        pages.any(|page| {
            let address = page.as_bytes().strip_prefix(b"http://");
            let path = address.and_then(|address| address.strip_prefix(host.as_bytes()));
            path.is_some_and(|path| matches!(path.first(), None | Some(b'/')))
        })
    }

    /// Returns the header that gives the visitor this token. `max_age` is for a persistent cookie.
    pub(crate) fn set(&self, token: &Token, max_age: Option<Duration>) -> Option<HeaderValue> {
        let token = token.expose();
        let value = match &self.signer {
            Some(signer) => signer.sign(token),
            None => token,
        };
        let mut cookie = self.cookie(&value);
        if let Some(max_age) = max_age {
            let seconds = max_age.min(LONGEST_MAX_AGE).as_secs().max(1);
            // Writing to a string cannot fail.
            let _ = write!(cookie, "; Max-Age={seconds}");
        }
        secret_header(cookie)
    }

    /// Returns the header that removes the cookie. It has the same name, path, domain and
    /// `Partitioned`, or the browser would keep the cookie it has.
    pub(crate) fn remove(&self) -> Option<HeaderValue> {
        let mut cookie = self.cookie("");
        cookie.push_str("; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT");
        secret_header(cookie)
    }

    /// The cookie without an age (RFC 6265, section 4.1.1).
    fn cookie(&self, value: &str) -> String {
        let mut cookie = String::with_capacity(256);
        for part in [&self.name, "=", value, "; HttpOnly; SameSite="] {
            cookie.push_str(part);
        }
        cookie.push_str(match self.same_site {
            SameSite::Strict => "Strict",
            SameSite::Lax => "Lax",
            SameSite::None => "None",
        });
        if self.partitioned {
            cookie.push_str("; Partitioned");
        }
        if self.secure {
            cookie.push_str("; Secure");
        }
        cookie.push_str("; Path=/");
        if let Some(domain) = &self.domain {
            cookie.push_str("; Domain=");
            cookie.push_str(domain);
        }
        cookie
    }

    /// Puts our cookie on a response, in place of any cookies of our name that the handler set.
    pub(crate) fn apply(&self, headers: &mut HeaderMap, cookie: HeaderValue) {
        let is_ours = |value: &HeaderValue| {
            let bytes = value.as_bytes();
            let name = bytes.split(|&byte| byte == b'=').next();
            name.is_some_and(|name| name.trim_ascii() == self.name.as_bytes())
        };
        if headers.get_all(SET_COOKIE).iter().any(is_ours) {
            let others: Vec<_> = headers
                .get_all(SET_COOKIE)
                .iter()
                .filter(|value| !is_ours(value))
                .cloned()
                .collect();
            headers.remove(SET_COOKIE);
            for other in others {
                headers.append(SET_COOKIE, other);
            }
        }
        headers.append(SET_COOKIE, cookie);
    }
}

/// Returns the port that a request names: in HTTP/2 with `:authority`, which is part of the URI, else
/// with `Host`.
fn port_of<B>(request: &http::Request<B>) -> Option<u16> {
    if let Some(authority) = request.uri().authority() {
        return authority.port_u16();
    }
    let host = request.headers().get(HOST)?;
    Authority::try_from(host.as_bytes()).ok()?.port_u16()
}

/// Strips the double quotes that some clients put round a value (RFC 6265, section 4.1.1).
fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    }
}

/// Makes a header value that is kept out of `Debug` and of the header compression of HTTP/2.
///
/// `None` cannot happen with the names and domains that the builder accepts.
fn secret_header(cookie: String) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(cookie).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> CookieSettings {
        CookieSettings {
            name: "__Host-id".to_owned(),
            takes_port: false,
            domain: None,
            same_site: SameSite::Lax,
            secure: true,
            partitioned: false,
            persistent: false,
            signer: None,
        }
    }

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(COOKIE, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    fn found(values: &[&[u8]]) -> Vec<Token> {
        let presented = settings().presented(&headers(values));
        presented.tokens().copied().collect()
    }

    #[test]
    fn finds_tokens_wherever_they_stand() {
        let token = Token::generate().unwrap();
        let text = token.expose();
        for header in [
            format!("__Host-id={text}"),
            format!("a=b; __Host-id={text}; c=d"),
            format!("a=b;__Host-id={text}"),
            format!("a=b;;  __Host-id = \"{text}\" ;"),
            format!("__Host-id=garbage; __Host-id={text}"),
            format!("__Host-id={text}; __Host-id={text}"),
        ] {
            assert_eq!(found(&[header.as_bytes()]), [token], "{header}");
        }
        let last = format!("__Host-id={text}");
        let split: [&[u8]; 3] = [b"a=\xff\xfe", b"no value", last.as_bytes()];
        assert_eq!(found(&split), [token]);
    }

    #[test]
    fn at_most_four_that_differ_are_looked_at() {
        let tokens: Vec<_> = (0..6).map(|_| Token::generate().unwrap()).collect();
        let cookie = |token: &Token| format!("__Host-id={}", token.expose());
        for count in 0..=tokens.len() {
            // Each one twice, and garbage between them.
            let cookies = tokens[..count].iter();
            let cookies = cookies.map(|token| format!("{0}; __Host-id=x; {0}", cookie(token)));
            let header = cookies.collect::<Vec<_>>().join("; ");
            let expected = &tokens[..count.min(4)];
            assert_eq!(found(&[header.as_bytes()]), expected, "{count}");
            let presented = settings().presented(&headers(&[header.as_bytes()]));
            assert_eq!(presented.is_empty(), count == 0);
        }
    }

    #[test]
    fn a_forged_token_takes_no_place() {
        let keys = [crate::keys::Key::from([1; 32])];
        let settings = CookieSettings {
            signer: Some(Signer::new(&keys, "__Host-id")),
            ..settings()
        };
        let cookie = |text: &str| format!("__Host-id={text}");
        let mut cookies: Vec<_> = (0..5)
            .map(|_| cookie(&Token::generate().unwrap().expose()))
            .collect();
        let token = Token::generate().unwrap();
        let signed = settings.set(&token, None).unwrap();
        let signed = signed.to_str().unwrap().split(';').next().unwrap();
        cookies.push(signed.to_owned());
        let presented = settings.presented(&headers(&[cookies.join("; ").as_bytes()]));
        assert!(presented.forged);
        assert!(presented.tokens().eq([&token]));
    }

    #[test]
    fn other_names_are_not_ours() {
        let text = Token::generate().unwrap().expose();
        for header in [
            format!("id={text}"),
            format!("__host-id={text}"),
            format!("x__Host-id={text}"),
            format!("__Host-id2={text}"),
            format!("a=__Host-id={text}"),
        ] {
            assert_eq!(found(&[header.as_bytes()]), []);
        }
    }

    #[test]
    fn the_removal_matches_the_cookie() {
        let settings = CookieSettings {
            name: "id".to_owned(),
            domain: Some("example.com".to_owned()),
            partitioned: true,
            ..settings()
        };
        let set = settings.set(&Token::generate().unwrap(), None).unwrap();
        let set = String::from_utf8(set.as_bytes().to_vec()).unwrap();
        let remove = settings.remove().unwrap();
        let remove = String::from_utf8(remove.as_bytes().to_vec()).unwrap();
        for attribute in [
            "Path=/",
            "Domain=example.com",
            "Partitioned",
            "Secure",
            "HttpOnly",
        ] {
            assert!(
                set.contains(attribute) && remove.contains(attribute),
                "{set} / {remove}"
            );
        }
        assert!(
            !set.contains("Max-Age") && !set.contains("Expires"),
            "{set}"
        );
        assert!(
            remove.starts_with("id=;") && remove.contains("Max-Age=0"),
            "{remove}"
        );
    }

    #[test]
    fn where_it_is_asked_for_the_name_takes_the_port() {
        let development = CookieSettings {
            name: "id".to_owned(),
            takes_port: true,
            ..settings()
        };
        let name = |settings: &CookieSettings, uri: &str, host: Option<&[u8]>| {
            let mut request = http::Request::get(uri);
            if let Some(host) = host {
                request = request.header(HOST, host);
            }
            let own = settings.for_request(&request.body(()).unwrap());
            own.map_or(settings.name.clone(), |own| own.name)
        };
        for (host, expected) in [
            (&b"localhost:3000"[..], "id-3000"),
            (b"127.0.0.1:3001", "id-3001"),
            (b"[::1]:3002", "id-3002"),
            (b"shop.example:65535", "id-65535"),
            // A proxy in front, or port 80.
            (b"localhost", "id"),
            (b"[::1]", "id"),
            (b"shop.example", "id"),
            (b"", "id"),
            (b"localhost:", "id"),
            (b"localhost:x", "id"),
            (b"localhost:99999", "id"),
            (b"localhost:3000; id=1", "id"),
            (b":3000", "id-3000"),
            (b"\xff:3000", "id"),
        ] {
            let shown = String::from_utf8_lossy(host);
            assert_eq!(name(&development, "/", Some(host)), expected, "{shown}");
            assert_eq!(name(&settings(), "/", Some(host)), "__Host-id", "{shown}");
        }
        assert_eq!(name(&development, "/", None), "id");
        for (uri, host, expected) in [
            ("http://localhost:3000/", None, "id-3000"),
            ("http://localhost/", None, "id"),
            (
                "http://localhost:3000/",
                Some(&b"localhost:1"[..]),
                "id-3000",
            ),
        ] {
            assert_eq!(name(&development, uri, host), expected, "{uri}");
        }
    }

    #[test]
    fn only_one_cookie_of_our_name_leaves() {
        let mut headers = HeaderMap::new();
        for other in ["theme=dark", "__Host-id=forged; Path=/", "lang=eo"] {
            headers.append(SET_COOKIE, HeaderValue::from_static(other));
        }
        settings().apply(&mut headers, HeaderValue::from_static("__Host-id=ours"));
        let all: Vec<_> = headers.get_all(SET_COOKIE).iter().collect();
        assert_eq!(all, ["theme=dark", "lang=eo", "__Host-id=ours"]);
    }
}
