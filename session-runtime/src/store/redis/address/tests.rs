use super::*;

/// How a URL is read: host and port or path, user, password, database, RESP3 or not.
type Read = (String, Option<String>, Option<String>, i64, bool);

fn read(url: &str) -> Read {
    let info = connection_info(url).unwrap_or_else(|error| panic!("{url}: {error}"));
    let settings = info.redis_settings();
    let own = |text: Option<&str>| text.map(str::to_owned);
    (
        info.addr().to_string(),
        own(settings.username()),
        own(settings.password()),
        settings.db(),
        settings.protocol() == ProtocolVersion::RESP3,
    )
}

#[test]
fn a_url_is_read_as_it_is_written() {
    let longest = [
        &*"a".repeat(63),
        &"b".repeat(63),
        &"c".repeat(63),
        &"d".repeat(61),
    ]
    .join(".");
    for (url, address, user, password, database, resp3) in [
        ("redis://h", "h:6379", None, None, 0, true),
        (" redis://h/\r\n", "h:6379", None, None, 0, true),
        ("REDIS://h", "h:6379", None, None, 0, true),
        ("valkey://h:1", "h:1", None, None, 0, true),
        ("redis://h:65535/15", "h:65535", None, None, 15, true),
        (
            "redis://h/2147483647",
            "h:6379",
            None,
            None,
            2147483647,
            true,
        ),
        ("redis://127.0.0.1", "127.0.0.1:6379", None, None, 0, true),
        ("redis://[::1]", "::1:6379", None, None, 0, true),
        (
            "redis://[2001:db8::1]:7000/1",
            "2001:db8::1:7000",
            None,
            None,
            1,
            true,
        ),
        (
            "redis://:secret@[::1]:7000",
            "::1:7000",
            None,
            Some("secret"),
            0,
            true,
        ),
        (
            "redis://my_host-1.example.",
            "my_host-1.example.:6379",
            None,
            None,
            0,
            true,
        ),
        (
            &format!("redis://{longest}"),
            &format!("{longest}:6379"),
            None,
            None,
            0,
            true,
        ),
        ("redis://:secret@h", "h:6379", None, Some("secret"), 0, true),
        (
            "redis://default:secret@h",
            "h:6379",
            Some("default"),
            Some("secret"),
            0,
            true,
        ),
        (
            "redis://shop:pa%2Fss%40%3A%25@h",
            "h:6379",
            Some("shop"),
            Some("pa/ss@:%"),
            0,
            true,
        ),
        (
            "redis://sh%40p%3A:x@h",
            "h:6379",
            Some("sh@p:"),
            Some("x"),
            0,
            true,
        ),
        (
            "redis://shop:p@ss@h",
            "h:6379",
            Some("shop"),
            Some("p@ss"),
            0,
            true,
        ),
        (
            "redis://shop:a:b@h",
            "h:6379",
            Some("shop"),
            Some("a:b"),
            0,
            true,
        ),
        (
            "redis://shop:caf%C3%A9%20%0A@h",
            "h:6379",
            Some("shop"),
            Some("café \n"),
            0,
            true,
        ),
        (
            "redis://shop:a+b@h",
            "h:6379",
            Some("shop"),
            Some("a+b"),
            0,
            true,
        ),
        ("redis://h?protocol=resp2", "h:6379", None, None, 0, false),
        ("redis://h/3?protocol=2", "h:6379", None, None, 3, false),
        ("redis://h?protocol=resp3", "h:6379", None, None, 0, true),
        ("redis://h?protocol=3", "h:6379", None, None, 0, true),
        ("redis://h?prot%6Fcol=resp2", "h:6379", None, None, 0, false),
        // What looks like a parameter, where none can be.
        (
            "redis://shop:protocol=resp2@h",
            "h:6379",
            Some("shop"),
            Some("protocol=resp2"),
            0,
            true,
        ),
        (
            "redis://protocol=2:x@h",
            "h:6379",
            Some("protocol=2"),
            Some("x"),
            0,
            true,
        ),
        (
            "redis://:rediss:%2F%2F@h",
            "h:6379",
            None,
            Some("rediss://"),
            0,
            true,
        ),
        ("redis://:db=3@h", "h:6379", None, Some("db=3"), 0, true),
        (
            "redis://:%23insecure@h",
            "h:6379",
            None,
            Some("#insecure"),
            0,
            true,
        ),
    ] {
        let own = |text: Option<&str>| text.map(str::to_owned);
        let expected = (
            address.to_owned(),
            own(user),
            own(password),
            database,
            resp3,
        );
        assert_eq!(read(url), expected, "{url}");
    }
}

#[cfg(unix)]
#[test]
fn a_socket_is_named_by_its_path() {
    for scheme in SOCKET {
        let plain = read(&format!("{scheme}:///run/redis%20one.sock"));
        assert_eq!(
            plain,
            ("/run/redis one.sock".to_owned(), None, None, 0, true)
        );
        let all =
            format!("{scheme}:///run/r.sock?db=3&user=sh%26p&pass=protocol%3Dresp2&protocol=resp2");
        let (user, password) = ("sh&p".to_owned(), "protocol=resp2".to_owned());
        let expected = (
            "/run/r.sock".to_owned(),
            Some(user),
            Some(password),
            3,
            false,
        );
        assert_eq!(read(&all), expected);
    }
}

#[cfg(feature = "redis-tls")]
#[test]
fn tls_has_schemes_of_its_own() {
    for url in ["rediss://h", "valkeys://h", "RedisS://h"] {
        assert!(is_tls(&connection_info(url).unwrap()), "{url}");
    }
    assert!(!is_tls(&connection_info("redis://:rediss:@h").unwrap()));
}

#[test]
fn what_would_be_passed_over_is_refused_and_not_quoted() {
    let too_long = format!("redis://{}.hunter2", "a".repeat(64));
    let mut count = 0;
    for (expected, urls) in [
        (
            "of the form",
            &[
                "",
                "hunter2",
                "redis",
                "redis:",
                "redis://",
                "redis:hunter2",
                "redis:///0",
                "http://hunter2",
                "redis//hunter2",
                "mysql://hunter2",
                "redis://:hun/ter2@h",
                "redis://:hun?ter2@h",
                "redis://:hun#ter2@h",
                "redis://[::hunter2]",
                "redis://[::1",
                "redis://:hunter2@[::",
                "redis://-hunter2",
                "redis://hunter2-",
                "redis://hunter2..example",
                "redis://.hunter2",
                "redis://hunter2!",
                "redis://hunter2%20.example",
                "redis://hünter2",
                "redis://1.2.3",
                "redis://300.1.1.1",
                "redis://h,hunter2",
                "redis://h:6379,hunter2:6380",
                &too_long,
            ][..],
        ),
        (
            "port",
            &[
                "redis://hunter2:0",
                "redis://hunter2:00",
                "redis://hunter2:65536",
                "redis://hunter2:99999999999999999999",
                "redis://:hunter2@[::1]:0",
                "redis://:hunter2@h:",
                "redis://hunter2:",
                "redis://hunter2:/1",
            ],
        ),
        (
            "white space",
            &[
                "redis://hun ter2",
                "redis://:hun\tter2@h",
                "redis://:hun\nter2@h",
                "redis://:hun\u{a0}ter2@h",
                "redis://:hunter2@h\0",
                "redis://hunter2 /1",
            ],
        ),
        (
            "`#`",
            &[
                "redis://hunter2#",
                "redis://hunter2/0#x",
                "redis://hunter2#insecure",
            ],
        ),
        (
            "path",
            &[
                "redis://hunter2/x",
                "redis://hunter2/0/",
                "redis://hunter2/0/x",
                "redis://hunter2//",
                "redis://hunter2//0",
                "redis://hunter2/-1",
                "redis://hunter2/+1",
                "redis://hunter2/1.0",
                "redis://hunter2/0x1",
                "redis://hunter2/2147483648",
                "redis://hunter2/99999999999999999999",
                "redis://hunter2/%30",
            ],
        ),
        (
            "`protocol`",
            &[
                "redis://hunter2?protocol=",
                "redis://hunter2?protocol",
                "redis://hunter2?protocol=resp4",
                "redis://hunter2?protocol=RESP2",
                "redis://hunter2?db=3",
                "redis://hunter2?timeout=5",
                "redis://hunter2?Protocol=resp2",
                "redis://hunter2?user=shop",
            ],
        ),
        (
            "twice",
            &[
                "redis://hunter2?protocol=resp2&protocol=resp3",
                "redis://hunter2?protocol=resp2&protocol=resp2",
            ],
        ),
        (
            "no password between",
            &["redis://@hunter2", "redis://:@hunter2"],
        ),
        (
            "a user name needs a password",
            &["redis://shop@hunter2", "redis://shop:@hunter2"],
        ),
        (
            "`%25`",
            &[
                "redis://:hun%ter2@h",
                "redis://:hunter2%@h",
                "redis://:hunter2%2@h",
                "redis://sh%p:hunter2@h",
            ],
        ),
        (
            "all interfaces",
            &["redis://0.0.0.0", "redis://:hunter2@[::]:7000"],
        ),
        #[cfg(unix)]
        (
            "socket",
            &[
                "unix:///",
                "unix://",
                "redis+unix://run/hunter2",
                "unix://shop:hunter2@localhost/run/r",
            ],
        ),
        #[cfg(unix)]
        (
            "empty",
            &["unix:///run/r?pass=", "unix:///run/r?user=&pass=hunter2"],
        ),
        #[cfg(unix)]
        (
            "`db`",
            &[
                "unix:///run/r?db=x",
                "unix:///run/r?db=-1",
                "unix:///run/r?db=",
                "unix:///r?hunter2",
            ],
        ),
    ] {
        for url in urls {
            let error = connection_info(url).expect_err(url);
            let text = error.to_string();
            assert!(text.contains(expected), "{url:?}: {text}");
            assert!(
                !format!("{text} {error:?}").contains("unter2"),
                "{url}: {error:?}"
            );
            count += 1;
        }
    }
    println!("{count} URLs are refused");
}
