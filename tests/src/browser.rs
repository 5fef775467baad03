//! A visitor: sends requests to a router and keeps its cookies as a browser would.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Body;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::secrets;

/// One visitor of a router, with a cookie jar.
#[derive(Debug, Clone)]
pub struct Browser {
    app: Router,
    jar: Jar,
}

/// Cookies by their names.
#[derive(Debug, Clone, Default)]
pub struct Jar(BTreeMap<String, String>);

/// A response.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub body: String,
}

impl Answer {
    /// The `Set-Cookie` headers.
    pub fn set_cookies(&self) -> Vec<String> {
        set_cookies(&self.headers)
    }
}

impl Browser {
    /// A visitor without cookies.
    pub fn new(app: &Router) -> Self {
        crate::events::install();
        Self {
            app: app.clone(),
            jar: Jar::default(),
        }
    }

    /// Leaves for another router and keeps the cookies.
    pub fn go_to(&mut self, app: &Router) {
        self.app = app.clone();
    }

    /// The value of a cookie.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.jar.get(name)
    }

    /// Puts a cookie into the jar.
    pub fn set_cookie(&mut self, name: &str, value: &str) {
        self.jar.insert(name, value);
    }

    /// The `Cookie` header that the visitor sends.
    pub fn cookie_header(&self) -> Option<String> {
        self.jar.header()
    }

    /// A GET request.
    pub async fn get(&mut self, path: &str) -> Answer {
        self.request(Method::GET, path).await
    }

    /// A POST request without a body.
    pub async fn post(&mut self, path: &str) -> Answer {
        self.request(Method::POST, path).await
    }

    /// A request without a body.
    pub async fn request(&mut self, method: Method, path: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(cookies) = self.cookie_header() {
            request = request.header(COOKIE, cookies);
        }
        let request = request
            .body(Body::empty())
            .expect("the test's request is valid");
        let answer = send(&self.app, request).await;
        self.jar.keep(&answer.headers);
        answer
    }
}

impl Jar {
    /// The value of a cookie.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Puts a cookie into the jar.
    pub fn insert(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }

    /// Each cookie as a pair.
    pub fn crumbs(&self) -> Vec<String> {
        let pair = |(name, value)| format!("{name}={value}");
        self.0.iter().map(pair).collect()
    }

    /// All cookies as one `Cookie` header.
    pub fn header(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.crumbs().join("; "))
    }

    /// Does what a response says about cookies.
    pub fn keep(&mut self, headers: &HeaderMap) {
        for cookie in set_cookies(headers) {
            let mut parts = cookie.split(';');
            let pair = parts.next().and_then(|pair| pair.split_once('='));
            let (name, value) = pair.expect("a cookie is a pair");
            if parts.any(|attribute| attribute.trim().eq_ignore_ascii_case("max-age=0")) {
                self.0.remove(name);
            } else {
                self.insert(name, value);
            }
        }
    }
}

fn set_cookies(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(SET_COOKIE).iter();
    values
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .collect()
}

/// Sends one request as it is.
pub async fn send(app: &Router, request: Request<Body>) -> Answer {
    crate::events::install();
    let response = app.clone().oneshot(request).await;
    let (parts, body) = response.unwrap_or_else(|never| match never {}).into_parts();
    let body = body.collect().await.expect("the body ends").to_bytes();
    let answer = Answer {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    watch(&answer);
    answer
}

/// A token leaves in `Set-Cookie` and nowhere else, whatever a test is about.
fn watch(answer: &Answer) {
    for cookie in answer.set_cookies() {
        let value = cookie.split(['=', ';']).nth(1);
        secrets::remember(value.unwrap_or_default());
    }
    secrets::assert_unsaid("a body", &answer.body);
    for (name, value) in &answer.headers {
        if name != SET_COOKIE {
            let value = String::from_utf8_lossy(value.as_bytes());
            secrets::assert_unsaid(name.as_str(), &value);
        }
    }
}
