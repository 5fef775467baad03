use crate::program::Program;
use crate::visitor::Visitor;

#[test]
fn takes_posts_of_its_own_pages_only() {
    let program = Program::start(env!("CARGO_BIN_EXE_csrf"));
    let visitor = Visitor::of(&program);
    let pay = |to, site| {
        let headers = [("sec-fetch-site", site)];
        visitor.post_with("/pay", &[("to", to)], &headers).status
    };
    assert_eq!(pay("bob", "same-origin"), 200);
    assert_eq!(pay("eve", "cross-site"), 403);
    assert_eq!(pay("mallory", "same-site"), 403);
    // No browser: `curl` and the like are not led by other sites.
    assert_eq!(visitor.post("/pay", &[("to", "carol")]).status, 200);
    assert_eq!(visitor.get("/").body, "[\"bob\", \"carol\"]\n");
}
