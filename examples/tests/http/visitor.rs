//! A visitor with a browser, as far as HTTP goes.

use std::thread;

use ureq::http::{Response, Uri};
use ureq::{Agent, Body, Cookie};

use crate::program::{PATIENCE, Program};

/// A visitor with a cookie jar. Clones are tabs of the same browser.
#[derive(Clone)]
pub(crate) struct Visitor<'a> {
    agent: Agent,
    program: &'a Program,
}

/// The program's answer. Redirects are not followed.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) set_cookie: Vec<String>,
    pub(crate) body: String,
}

impl<'a> Visitor<'a> {
    pub(crate) fn of(program: &'a Program) -> Self {
        let settings = Agent::config_builder()
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build();
        Self {
            agent: settings.into(),
            program,
        }
    }

    /// A visitor whose browser has this cookie.
    pub(crate) fn with_cookie(program: &'a Program, cookie: &str) -> Self {
        let visitor = Self::of(program);
        let uri: Uri = visitor.url("/").parse().expect("a URI");
        let cookie = format!("{}={cookie}", program.cookie_name());
        let cookie = Cookie::parse(cookie, &uri).expect("a cookie");
        let mut jar = visitor.agent.cookie_jar_lock();
        jar.insert(cookie, &uri)
            .expect("the cookie fits the origin");
        drop(jar);
        visitor
    }

    /// The same browser at another program.
    pub(crate) fn at<'b>(&self, program: &'b Program) -> Visitor<'b> {
        let agent = self.agent.clone();
        Visitor { agent, program }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.program.address())
    }

    /// The value of the session cookie.
    pub(crate) fn cookie(&self) -> Option<String> {
        let jar = self.agent.cookie_jar_lock();
        let name = self.program.cookie_name();
        let cookie = jar.iter().find(|cookie| cookie.name() == name);
        cookie.map(|cookie| cookie.value().to_owned())
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        let answer = self.agent.get(self.url(path)).call();
        Answer::read(answer.expect("the program answers"))
    }

    pub(crate) fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.post_with(path, form, &[])
    }

    /// With more headers.
    pub(crate) fn post_with(
        &self,
        path: &str,
        form: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = self.agent.post(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send_form(form.iter().copied());
        Answer::read(answer.expect("the program answers"))
    }

    /// So many posts at once, each from a tab of its own.
    pub(crate) fn post_at_once(
        &self,
        tabs: usize,
        path: &str,
        form: &[(&str, &str)],
    ) -> Vec<Answer> {
        thread::scope(|scope| {
            let tabs: Vec<_> = (0..tabs)
                .map(|_| scope.spawn(|| self.clone().post(path, form)))
                .collect();
            let answer = |tab: thread::ScopedJoinHandle<'_, Answer>| tab.join().expect("an answer");
            tabs.into_iter().map(answer).collect()
        })
    }
}

impl Answer {
    fn read(mut response: Response<Body>) -> Self {
        let texts = |name| {
            let values = response.headers().get_all(name).into_iter();
            values.map(|value| value.to_str().expect("a text").to_owned())
        };
        Self {
            status: response.status().as_u16(),
            location: texts("location").next(),
            set_cookie: texts("set-cookie").collect(),
            body: response.body_mut().read_to_string().expect("a text"),
        }
    }

    /// The contents of the element with this id.
    pub(crate) fn element(&self, id: &str) -> Option<&str> {
        let (_, element) = self.body.split_once(&format!(" id=\"{id}\""))?;
        let (_, content) = element.split_once('>')?;
        content.split('<').next()
    }

    pub(crate) fn says(&self, text: &str) -> bool {
        self.body.contains(text)
    }
}
