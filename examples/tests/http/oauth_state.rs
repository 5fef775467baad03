use crate::program::Program;
use crate::visitor::Visitor;

/// Begins a sign-in; answers the path that the provider would send the visitor back to.
fn begin(visitor: &Visitor<'_>) -> String {
    let to = visitor
        .get("/sign-in")
        .location
        .expect("leads to the provider");
    assert!(
        to.starts_with("https://accounts.example.com/authorize?"),
        "{to}"
    );
    let (_, state) = to.split_once("&state=").expect("a state");
    assert_eq!(state.len(), 32);
    format!("/callback?code=x&state={state}")
}

#[test]
fn a_state_is_good_once() {
    let program = Program::start(env!("CARGO_BIN_EXE_oauth_state"));
    let visitor = Visitor::of(&program);
    let callback = begin(&visitor);
    let before = visitor.cookie();
    assert_eq!(visitor.get(&callback).body, "signed in\n");
    assert_ne!(visitor.cookie(), before);
    assert_eq!(visitor.get(&callback).status, 403);
}

#[test]
fn of_callbacks_that_race_one_gets_through() {
    let program = Program::start(env!("CARGO_BIN_EXE_oauth_state"));
    let visitor = Visitor::of(&program);
    let callback = begin(&visitor);
    // Each holds the same cookie, whatever the others are given.
    let cookie = visitor.cookie().expect("a cookie");
    let racers: Vec<_> = (0..10)
        .map(|_| Visitor::with_cookie(&program, &cookie))
        .collect();
    let statuses: Vec<_> = std::thread::scope(|scope| {
        let racers: Vec<_> = racers
            .iter()
            .map(|racer| scope.spawn(|| racer.get(&callback).status))
            .collect();
        let status =
            |racer: std::thread::ScopedJoinHandle<'_, u16>| racer.join().expect("a status");
        racers.into_iter().map(status).collect()
    });
    let through = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(through, 1, "{statuses:?}");
}

#[test]
fn a_state_of_another_visitor_is_refused() {
    let program = Program::start(env!("CARGO_BIN_EXE_oauth_state"));
    let [ada, eve] = [Visitor::of(&program), Visitor::of(&program)];
    begin(&ada);
    let callback_of_eve = begin(&eve);
    assert_eq!(ada.get(&callback_of_eve).status, 403);
}
