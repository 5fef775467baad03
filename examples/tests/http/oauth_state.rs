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
fn two_tabs_sign_in_side_by_side() {
    let program = Program::start(env!("CARGO_BIN_EXE_oauth_state"));
    for order in [[0, 1], [1, 0]] {
        let visitor = Visitor::of(&program);
        let tabs = [visitor.clone(), visitor.clone()];
        let callbacks = tabs.each_ref().map(begin);
        // A wrong one in between uses nothing up.
        assert_eq!(visitor.get("/callback?code=x&state=wrong").status, 403);
        for tab in order {
            assert_eq!(tabs[tab].get(&callbacks[tab]).body, "signed in\n");
        }
        for callback in callbacks {
            assert_eq!(visitor.get(&callback).status, 403);
        }
    }
}

#[test]
fn tabs_that_begin_at_the_same_moment_all_sign_in() {
    let program = Program::start(env!("CARGO_BIN_EXE_oauth_state"));
    let visitor = Visitor::of(&program);
    let first = begin(&visitor);
    let callbacks: Vec<_> = std::thread::scope(|scope| {
        let begun: Vec<_> = (0..5)
            .map(|_| scope.spawn(|| begin(&visitor.clone())))
            .collect();
        begun
            .into_iter()
            .map(|tab| tab.join().expect("begun"))
            .collect()
    });
    for callback in callbacks.iter().chain([&first]) {
        assert_eq!(visitor.get(callback).body, "signed in\n");
    }
}

#[test]
fn of_more_sign_ins_than_are_kept_the_last_ones_are_good() {
    let program = Program::start(env!("CARGO_BIN_EXE_oauth_state"));
    let visitor = Visitor::of(&program);
    let callbacks: Vec<_> = (0..12).map(|_| begin(&visitor)).collect();
    let statuses = callbacks
        .iter()
        .map(|callback| visitor.get(callback).status);
    // Those of one second make room in any order.
    assert_eq!(statuses.filter(|status| *status == 200).count(), 8);
}

#[test]
fn a_state_of_another_visitor_is_refused() {
    let program = Program::start(env!("CARGO_BIN_EXE_oauth_state"));
    let [ada, eve] = [Visitor::of(&program), Visitor::of(&program)];
    begin(&ada);
    let callback_of_eve = begin(&eve);
    assert_eq!(ada.get(&callback_of_eve).status, 403);
}
