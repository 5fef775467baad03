//! Any tokens in the options: never a panic, and the answer is always Rust, with an error in the
//! compiler's form where the options make no sense.
//!
//! `SESSION_FUZZ_INPUTS` says how many inputs, `SESSION_FUZZ_SEED` which.

use fastrand::Rng;
use proc_macro2::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};
use quote::quote;

/// Options as people write them, right and wrong.
const OPTIONS: [&str; 28] = [
    r#"ttl = "5m""#,
    r#"ttl = "1h 30m""#,
    r#"ttl = "0s""#,
    r#"ttl = "99999999999999999999y""#,
    r#"ttl = 5"#,
    r#"ttl = b"5m""#,
    r#"renew = "read""#,
    r#"renew = "never""#,
    r#"renew = "sometimes""#,
    "default",
    "default = 7",
    "default = || { loop {} }",
    r#"rename = "cart""#,
    r#"rename = "a.b \0 \u{202e}""#,
    r#"alias = "basket""#,
    r#"alias = "field0""#,
    "codec = Json",
    "codec = <A as B>::C",
    r#"merge = "add""#,
    r#"merge = "reject""#,
    r#"merge = r"max""#,
    "skip",
    "skip = true",
    "principal",
    "encrypt",
    "sensitive(yes)",
    r#"name = "shop""#,
    "crate = ::other",
];

const TYPES: [&str; 12] = [
    "u32",
    "i64",
    "Option<u8>",
    "::core::option::Option<String>",
    "Option<Option<T>>",
    "Vec<T>",
    "T",
    "[u8; N]",
    "&'static str",
    "(T, fn(T) -> T)",
    "impl Copy",
    "_",
];

const SHAPES: [&str; 7] = [
    "struct",
    "struct",
    "struct",
    "struct",
    "enum",
    "union",
    "pub(crate) struct",
];

const GENERICS: [&str; 6] = [
    "",
    "<T>",
    "<T: Clone = u8, const N: usize = 3>",
    "<'a, T: 'a>",
    "<T> where T: Copy",
    "<>",
];

struct Author {
    random: Rng,
}

impl Author {
    fn any<'a>(&mut self, texts: &[&'a str]) -> &'a str {
        texts[self.random.usize(0..texts.len())]
    }

    /// An item with random options; text, because that is what people write.
    fn item(&mut self) -> TokenStream {
        let options = self.attribute();
        let shape: TokenStream = tokens(self.any(&SHAPES));
        let generics = self.any(&GENERICS);
        let (generics, bounds) = generics.split_once(" where").unwrap_or((generics, ""));
        let bounds = if bounds.is_empty() {
            String::new()
        } else {
            format!("where {bounds}")
        };
        let (generics, bounds) = (tokens(generics), tokens(&bounds));
        let count = self.random.usize(0..5);
        let fields: Vec<_> = (0..count).map(|number| self.field(number)).collect();
        let name = Ident::new(self.any(&["Shop", "X", "Größe"]), Span::call_site());
        match self.random.u8(0..20) {
            0 => quote!(#options #shape #name #generics #bounds;),
            1 => {
                let types = (0..count).map(|_| tokens(self.any(&TYPES)));
                let types: Vec<_> = types.collect();
                quote!(#options #shape #name #generics (#(#types),*) #bounds;)
            }
            _ => quote!(#options #shape #name #generics #bounds { #(#fields),* }),
        }
    }

    fn field(&mut self, number: usize) -> TokenStream {
        let first = self.attribute();
        let second = if self.random.u8(0..6) == 0 {
            self.attribute()
        } else {
            TokenStream::new()
        };
        let name = match self.random.u8(0..8) {
            0 => "r#type".to_owned(),
            1 => "field0".to_owned(),
            2 => "FIELD".to_owned(),
            _ => format!("field{number}"),
        };
        let (name, ty) = (tokens(&name), tokens(self.any(&TYPES)));
        quote!(#first #second pub #name: #ty)
    }

    fn attribute(&mut self) -> TokenStream {
        match self.random.u8(0..10) {
            0..4 => TokenStream::new(),
            4 => quote!(#[session]),
            5 => {
                let inside = self.noise(3);
                quote!(#[session = #inside])
            }
            6 => {
                let inside = self.noise(3);
                quote!(#[session { #inside }])
            }
            _ => {
                let inside = self.options();
                quote!(#[session(#inside)])
            }
        }
    }

    fn options(&mut self) -> TokenStream {
        let mut options = TokenStream::new();
        for _ in 0..self.random.usize(1..4) {
            options.extend(match self.random.u8(0..8) {
                0 => self.noise(2),
                _ => tokens(self.any(&OPTIONS)),
            });
            if self.random.u8(0..8) > 0 {
                options.extend(quote!(,));
            }
        }
        if self.random.u8(0..4) == 0 {
            self.broken(options)
        } else {
            options
        }
    }

    /// The tokens with one of them missing, doubled or replaced.
    fn broken(&mut self, whole: TokenStream) -> TokenStream {
        let mut trees: Vec<TokenTree> = whole.into_iter().collect();
        if trees.is_empty() {
            return self.noise(2);
        }
        let place = self.random.usize(0..trees.len());
        match self.random.u8(0..3) {
            0 => drop(trees.remove(place)),
            1 => trees.insert(place, trees[place].clone()),
            _ => trees[place] = self.tree(2),
        }
        trees.into_iter().collect()
    }

    fn noise(&mut self, depth: u8) -> TokenStream {
        (0..self.random.usize(0..4))
            .map(|_| self.tree(depth))
            .collect()
    }

    fn tree(&mut self, depth: u8) -> TokenTree {
        match self.random.u8(0..8) {
            0 if depth > 0 => {
                let delimiters = [
                    Delimiter::Parenthesis,
                    Delimiter::Brace,
                    Delimiter::Bracket,
                    Delimiter::None,
                ];
                let delimiter = delimiters[self.random.usize(0..4)];
                Group::new(delimiter, self.noise(depth - 1)).into()
            }
            1 | 2 => {
                let sign = *b"=,:;.#<>|&!?*-+'"
                    .get(self.random.usize(0..15))
                    .unwrap_or(&b',');
                let spacing = [Spacing::Alone, Spacing::Joint][self.random.usize(0..2)];
                Punct::new(sign.into(), spacing).into()
            }
            3 => Literal::string(self.any(&["", "5m", "add", "read", "a.b", "@x", "\0"])).into(),
            4 => Literal::u64_unsuffixed(self.random.u64(..)).into(),
            5 => Literal::byte_string(b"\xff").into(),
            _ => {
                let words = [
                    "ttl",
                    "renew",
                    "default",
                    "rename",
                    "alias",
                    "codec",
                    "merge",
                    "skip",
                    "name",
                    "principal",
                    "encrypt",
                    "sensitive",
                    "crate",
                    "self",
                    "Self",
                    "tll",
                    "_",
                    "fn",
                ];
                Ident::new(self.any(&words), Span::call_site()).into()
            }
        }
    }
}

fn tokens(text: &str) -> TokenStream {
    text.parse().expect("the test's own texts are Rust")
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn any_options_become_rust_or_an_error() {
    let seed = number("SESSION_FUZZ_SEED").unwrap_or(1);
    let inputs = number("SESSION_FUZZ_INPUTS").unwrap_or(5_000);
    println!("SESSION_FUZZ_SEED={seed}");
    let mut author = Author {
        random: Rng::with_seed(seed),
    };
    let mut refused = 0;
    for _ in 0..inputs {
        let item = author.item();
        let shown = item.to_string();
        let expansion = crate::derive(item);
        let is_refused = expansion.to_string().contains("compile_error");
        if let Err(error) = syn::parse2::<syn::File>(expansion) {
            panic!("{error} in what became of {shown}");
        }
        refused += u64::from(is_refused);
    }
    println!("{inputs} inputs, {refused} refused");
    assert!(
        refused > inputs / 10 && refused < inputs - inputs / 50,
        "{refused}"
    );
}

#[test]
fn tokens_that_are_no_item_are_an_error() {
    let mut author = Author {
        random: Rng::with_seed(1),
    };
    for _ in 0..2_000 {
        let expansion = crate::derive(author.noise(4));
        assert!(expansion.to_string().contains("compile_error"));
        syn::parse2::<syn::File>(expansion).unwrap();
    }
}
