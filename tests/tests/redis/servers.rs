//! The servers that the other tests rely on do what is asked of them.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

use tests::proxy::{Behavior, Cut, Proxy};
use tests::servers::{Cluster, Generation, Options, Sentinel, Server, available};

#[test]
fn a_server_keeps_its_data_over_a_crash() {
    for generation in available() {
        let mut server = Server::durable(generation);
        let _: () = server.command(&["SET", "key", "value"]);
        let port = server.port();
        server.kill();
        assert!(server.try_command::<String>(&["GET", "key"]).is_err());
        server.restart();
        assert_eq!(server.port(), port);
        assert_eq!(server.command::<String>(&["GET", "key"]), "value");
        assert!(server.stop().is_some_and(|status| status.success()));
    }
}

#[test]
fn a_cluster_moves_its_slots() {
    for generation in available() {
        let cluster = Cluster::start(generation, 3, 1);
        let _: () = cluster.nodes[2].command(&["SET", "foo", "bar"]);
        cluster.move_slots(2, 0, 12_182..12_183);
        assert_eq!(cluster.nodes[0].command::<String>(&["GET", "foo"]), "bar");
        assert!(cluster.works());
    }
}

#[test]
fn sentinels_watch_a_master() {
    for generation in available() {
        let servers = Sentinel::start(generation);
        let address: (String, u16) = servers.sentinels[0].command(&[
            "SENTINEL",
            "GET-MASTER-ADDR-BY-NAME",
            Sentinel::MASTER,
        ]);
        assert_eq!(address, ("127.0.0.1".to_owned(), servers.master.port()));
    }
}

#[test]
fn a_proxy_cuts_where_it_is_told() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let proxy = Proxy::start(server.port());
        let open = || {
            redis::Client::open(("127.0.0.1", proxy.port()))
                .unwrap()
                .get_connection()
                .unwrap()
        };
        for (at, count) in [
            (Cut::BeforeServer, 1),
            (Cut::InsideCommand, 1),
            (Cut::BeforeClient, 2),
        ] {
            let _: () = server.command(&["DEL", "count"]);
            let mut connection = open();
            let mut increment = || {
                redis::cmd("INCR")
                    .arg("count")
                    .query::<u64>(&mut connection)
            };
            proxy.behave(Behavior::CutOnce { command: 1, at });
            assert_eq!(increment(), Ok(1));
            assert!(increment().is_err());
            assert!(proxy.has_cut());
            assert_eq!(server.command::<u64>(&["GET", "count"]), count, "{at:?}");
        }
    }
}

#[test]
fn every_generation_is_what_it_says() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let name = if generation == Generation::Valkey9 {
            "valkey_version"
        } else {
            "redis_version"
        };
        let version = server.info("server", name).unwrap();
        println!("{}: {version}", generation.name());
        assert!(version.starts_with(&generation.name()[generation.name().len() - 1..]));
    }
}
