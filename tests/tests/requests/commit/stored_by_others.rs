//! Data of other programs in the store: values that do not decode, older names, unknown fields.

use http::StatusCode;
use session_runtime::Session;
use session_runtime::store::Change;
use tests::events::Recorder;
use tests::visitor::Visitor;

use super::{Merged, id_of, plant, set, site, stored};

#[tokio::test]
async fn p7_a_field_that_does_not_decode_costs_one_field() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    let page = |mut session: Session<Merged>| async move {
        session.plain = 5;
        session.text = "text".to_owned();
        session.count = 3;
    };
    visitor.visit(page).await;
    let id = id_of(&mut visitor).await;
    for wrong in [
        "",
        "\"five\"",
        "{",
        "5 5",
        "-1",
        "4294967296",
        "\u{0}",
        "null",
    ] {
        let changes = vec![set("merged.plain", wrong), set("merged.count", wrong)];
        plant(&store, &id, changes).await;
        let recorder = Recorder::start();
        let page = |session: Session<Merged>| async move {
            format!("{} {} {}", session.plain, session.text, session.count)
        };
        let answer = visitor.visit(page).await;
        assert_eq!(answer.body, "0 text 0", "{wrong}");
        let lines = recorder.take();
        let reports: Vec<_> = lines
            .iter()
            .filter(|line| line.event == "decode-failed")
            .collect();
        assert_eq!(reports.len(), 2, "{wrong}");
        assert!(reports[0].text.contains("merged.plain"));
        assert!(wrong.len() < 4 || lines.iter().all(|line| !line.text.contains(wrong)));

        // A field that is not written stays as it is; one that is written starts as if it had been
        // absent.
        let page = |mut session: Session<Merged>| async move {
            session.text.push('!');
            session.count += 1;
            session.text.pop();
        };
        assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
        let held = stored(&store, &id, &["merged.plain", "merged.count"]).await;
        assert_eq!(
            held,
            [Some(wrong.to_owned()), Some("1".to_owned())],
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn s49_random_stored_bytes_never_harm_a_session() {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    const SEED: u64 = 49;
    println!("seed {SEED}");
    let mut random = StdRng::seed_from_u64(SEED);
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    let page = |mut session: Session<Merged>| async move { session.text = "text".to_owned() };
    visitor.visit(page).await;
    let id = id_of(&mut visitor).await;
    let names = [
        "merged.plain",
        "merged.note",
        "merged.sum",
        "merged.first",
        "merged.guarded",
    ];
    for round in 0..300 {
        let changes = names.map(|name| {
            let length = random.random_range(0..200);
            let bytes: Vec<u8> = (0..length).map(|_| random.random()).collect();
            Change::Set {
                name: name.into(),
                value: bytes.into(),
                ttl: None,
                only_if_absent: false,
            }
        });
        plant(&store, &id, changes.into()).await;
        let page = |session: Session<Merged>| async move { session.text.clone() };
        let answer = visitor.visit(page).await;
        assert_eq!(answer.body, "text", "seed {SEED}, round {round}");
    }
}

#[tokio::test]
async fn older_names_are_read_and_the_next_write_moves_them() {
    #[derive(Session, Default)]
    #[session(name = "merged")]
    struct Renamed {
        #[session(alias = "text")]
        title: String,
        #[session(rename = "amount", alias = "sum", merge = "add")]
        sum: i64,
        #[session(alias = "first", merge = "first")]
        origin: Option<String>,
        #[session(alias = "guarded", merge = "reject")]
        locked: String,
        #[session(alias = "note")]
        remark: Option<String>,
    }

    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    let page = |mut session: Session<Merged>| async move {
        session.text = "text".to_owned();
        session.sum = 40;
        session.first = Some("first".to_owned());
        session.guarded = "guarded".to_owned();
        session.note = Some("note".to_owned());
    };
    visitor.visit(page).await;
    let id = id_of(&mut visitor).await;

    store.take_counts();
    let page = |session: Session<Renamed>| async move {
        let Renamed {
            title,
            sum,
            origin,
            locked,
            remark,
        } = &*session;
        format!("{title} {sum} {origin:?} {locked} {remark:?}")
    };
    let everything = r#"text 40 Some("first") guarded Some("note")"#;
    assert_eq!(visitor.visit(page).await.body, everything);
    assert_eq!(store.take_counts(), (1, 0), "a read moves nothing");

    let page = |mut session: Session<Renamed>| async move {
        session.title.push('!');
        session.sum += 2;
        session.origin = Some("second".to_owned());
        session.locked.push('?');
        session.remark = None;
    };
    let answer = visitor.visit(page).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let older = ["merged.text", "merged.sum", "merged.guarded", "merged.note"];
    assert_eq!(stored(&store, &id, &older).await, [None, None, None, None]);
    let present = [
        "merged.title",
        "merged.amount",
        "merged.locked",
        "merged.remark",
    ];
    let values = ["\"text!\"", "42", "\"guarded?\""].map(|value| Some(value.to_owned()));
    assert_eq!(stored(&store, &id, &present).await[..3], values);
    assert_eq!(stored(&store, &id, &present).await[3], None);
    let page =
        |session: Session<Renamed>| async move { session.origin.clone().unwrap_or_default() };
    assert_eq!(
        visitor.visit(page).await.body,
        "first",
        "it was set already"
    );
}

#[tokio::test]
async fn p7_fields_of_others_are_left_alone() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    let page = |mut session: Session<Merged>| async move { session.plain = 1 };
    visitor.visit(page).await;
    let id = id_of(&mut visitor).await;
    plant(
        &store,
        &id,
        vec![set("merged.of_tomorrow", "new"), set("cart.items", "[]")],
    )
    .await;
    let page = |mut session: Session<Merged>| async move {
        session.plain = 2;
        session.rotate();
    };
    visitor.visit(page).await;
    let held = stored(
        &store,
        &id,
        &["merged.of_tomorrow", "cart.items", "merged.plain"],
    )
    .await;
    assert_eq!(held, ["new", "[]", "2"].map(|value| Some(value.to_owned())));
}
