//! The options in `#[session(…)]`, each on its own: spelled right, given once, with the right kind
//! of value. What depends on the rest of the struct is checked in `valid`.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::ext::IdentExt as _;
use syn::parse::ParseStream;
use syn::{Attribute, Expr, LitStr, Path, Token, Type};

use crate::ctxt::Ctxt;
use crate::ttl;

/// Every option's name, once.
mod symbol {
    pub(super) const NAME: &str = "name";
    pub(super) const CRATE: &str = "crate";
    pub(super) const CODEC: &str = "codec";
    pub(super) const TTL: &str = "ttl";
    pub(super) const RENEW: &str = "renew";
    pub(super) const DEFAULT: &str = "default";
    pub(super) const RENAME: &str = "rename";
    pub(super) const ALIAS: &str = "alias";
    pub(super) const MERGE: &str = "merge";
    pub(super) const SKIP: &str = "skip";
    pub(super) const PRINCIPAL: &str = "principal";
    pub(super) const ENCRYPT: &str = "encrypt";
    pub(super) const SENSITIVE: &str = "sensitive";

    pub(super) const OF_STRUCTS: &[&str] = &[NAME, CODEC, CRATE];
    pub(super) const OF_FIELDS: &[&str] = &[
        TTL, RENEW, DEFAULT, RENAME, ALIAS, CODEC, MERGE, SKIP, PRINCIPAL, ENCRYPT, SENSITIVE,
    ];
}

/// An option that was given: its name, to report at, and its value.
pub(crate) struct Given<T> {
    pub(crate) option: Ident,
    pub(crate) value: T,
}

/// The options above a struct.
#[derive(Default)]
pub(crate) struct StructOptions {
    pub(crate) name: Option<Given<LitStr>>,
    pub(crate) krate: Option<Given<Path>>,
    pub(crate) codec: Option<Given<Type>>,
}

/// The options above a field.
#[derive(Default)]
pub(crate) struct FieldOptions {
    pub(crate) ttl: Option<Given<u64>>,
    pub(crate) renew: Option<Given<Renew>>,
    /// `None` inside is the bare `default`.
    pub(crate) default: Option<Given<Option<Expr>>>,
    pub(crate) rename: Option<Given<LitStr>>,
    pub(crate) aliases: Vec<Given<LitStr>>,
    pub(crate) codec: Option<Given<Type>>,
    pub(crate) merge: Option<Given<(LitStr, Merge)>>,
    pub(crate) skip: Option<Given<()>>,
    pub(crate) principal: Option<Given<()>>,
    pub(crate) encrypt: Option<Given<()>>,
    pub(crate) sensitive: Option<Given<()>>,
}

/// The value of `renew`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renew {
    Write,
    Read,
    Never,
}

/// The value of `merge`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Merge {
    Replace,
    Add,
    Max,
    Min,
    First,
    Reject,
}

impl Merge {
    /// Whether the store calculates.
    pub(crate) fn is_arithmetic(self) -> bool {
        matches!(self, Self::Add | Self::Max | Self::Min)
    }
}

impl StructOptions {
    pub(crate) fn parse(ctxt: &Ctxt, attributes: &[Attribute]) -> Self {
        let mut options = Self::default();
        for_each_option(
            ctxt,
            attributes,
            "name = \"shop\"",
            |option, input| match option.to_string().as_str() {
                symbol::NAME => {
                    let value = string(&option, input, "name = \"shop\"")?;
                    set(&mut options.name, option, value)
                }
                symbol::CRATE => {
                    let value = path(&option, input)?;
                    set(&mut options.krate, option, value)
                }
                symbol::CODEC => {
                    let value = codec(&option, input)?;
                    set(&mut options.codec, option, value)
                }
                unknown => Err(unknown_struct_option(&option, unknown)),
            },
        );
        options
    }

    /// The path of `session_runtime`.
    pub(crate) fn krate(&self) -> TokenStream {
        match &self.krate {
            Some(path) => path.value.to_token_stream(),
            None => quote!(::session_runtime),
        }
    }
}

impl FieldOptions {
    pub(crate) fn parse(ctxt: &Ctxt, attributes: &[Attribute]) -> Self {
        let mut options = Self::default();
        for_each_option(ctxt, attributes, "ttl = \"5m\"", |option, input| {
            options.parse_one(option, input)
        });
        options
    }

    fn parse_one(&mut self, option: Ident, input: ParseStream<'_>) -> syn::Result<()> {
        match option.to_string().as_str() {
            symbol::TTL => {
                let text = string(&option, input, "ttl = \"5m\"")?;
                // Even a wrong value counts as given: `renew` beside it has its `ttl`.
                let parsed = ttl::parse(&text.value());
                set(&mut self.ttl, option, *parsed.as_ref().unwrap_or(&0))?;
                parsed
                    .map(drop)
                    .map_err(|message| syn::Error::new_spanned(text, message))
            }
            symbol::RENEW => {
                let value = keyword(
                    &option,
                    input,
                    "renew = \"write\"",
                    &[
                        ("write", Renew::Write),
                        ("read", Renew::Read),
                        ("never", Renew::Never),
                    ],
                )?;
                set(&mut self.renew, option, value.1)
            }
            symbol::DEFAULT => {
                let value = default(&option, input)?;
                set(&mut self.default, option, value)
            }
            symbol::RENAME => {
                let value = string(&option, input, "rename = \"stored_name\"")?;
                set(&mut self.rename, option, value)
            }
            symbol::ALIAS => {
                let value = string(&option, input, "alias = \"older_name\"")?;
                self.aliases.push(Given { option, value });
                Ok(())
            }
            symbol::CODEC => {
                let value = codec(&option, input)?;
                set(&mut self.codec, option, value)
            }
            symbol::MERGE => {
                let value = keyword(
                    &option,
                    input,
                    "merge = \"add\"",
                    &[
                        ("replace", Merge::Replace),
                        ("add", Merge::Add),
                        ("max", Merge::Max),
                        ("min", Merge::Min),
                        ("first", Merge::First),
                        ("reject", Merge::Reject),
                    ],
                )?;
                set(&mut self.merge, option, value)
            }
            symbol::SKIP => flag(&mut self.skip, option, input),
            symbol::PRINCIPAL => flag(&mut self.principal, option, input),
            symbol::ENCRYPT => flag(&mut self.encrypt, option, input),
            symbol::SENSITIVE => flag(&mut self.sensitive, option, input),
            unknown => Err(unknown_field_option(&option, unknown)),
        }
    }
}

/// Calls `parse` after each option's name. After an error it goes on behind the next comma, so that
/// one mistake does not hide another.
fn for_each_option(
    ctxt: &Ctxt,
    attributes: &[Attribute],
    form: &str,
    mut parse: impl FnMut(Ident, ParseStream<'_>) -> syn::Result<()>,
) {
    for attribute in attributes {
        if !attribute.path().is_ident("session") {
            continue;
        }
        let is_list = matches!(
            &attribute.meta,
            syn::Meta::List(list) if matches!(list.delimiter, syn::MacroDelimiter::Paren(_))
        );
        if !is_list {
            ctxt.error(
                &attribute.meta,
                format_args!("expected options in parentheses: `#[session({form})]`"),
            );
            continue;
        }
        let parsed = attribute.parse_args_with(|input: ParseStream<'_>| {
            while !input.is_empty() {
                if let Err(error) = one_option(input, form, &mut parse) {
                    ctxt.push(error);
                    skip_to_comma(input)?;
                }
                if !input.is_empty() {
                    input.parse::<Token![,]>()?;
                }
            }
            Ok(())
        });
        if let Err(error) = parsed {
            ctxt.push(error);
        }
    }
}

fn one_option(
    input: ParseStream<'_>,
    form: &str,
    parse: &mut impl FnMut(Ident, ParseStream<'_>) -> syn::Result<()>,
) -> syn::Result<()> {
    if !input.peek(Ident::peek_any) {
        return Err(input.error(format_args!("expected an option such as `{form}`")));
    }
    // Any identifier: `crate` is a keyword.
    let option = input.call(Ident::parse_any)?;
    parse(option, input)?;
    if input.is_empty() || input.peek(Token![,]) {
        Ok(())
    } else {
        Err(input.error("expected `,` and the next option"))
    }
}

fn skip_to_comma(input: ParseStream<'_>) -> syn::Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<TokenTree>()?;
    }
    Ok(())
}

fn set<T>(slot: &mut Option<Given<T>>, option: Ident, value: T) -> syn::Result<()> {
    if slot.is_some() {
        return Err(syn::Error::new_spanned(
            &option,
            format_args!("`{option}` is given twice, keep one of them"),
        ));
    }
    *slot = Some(Given { option, value });
    Ok(())
}

fn flag(slot: &mut Option<Given<()>>, option: Ident, input: ParseStream<'_>) -> syn::Result<()> {
    if input.is_empty() || input.peek(Token![,]) {
        return set(slot, option, ());
    }
    let error = input.error(format_args!("`{option}` takes no value: write `{option}`"));
    // The intention is clear, so the checks go on: other rules may be broken too.
    set(slot, option, ())?;
    Err(error)
}

/// Steps over the `=` before a value.
fn equals(option: &Ident, input: ParseStream<'_>, form: &str) -> syn::Result<()> {
    let message = format_args!("`{option}` needs a value: write `{form}`").to_string();
    if input.is_empty() || input.peek(Token![,]) {
        return Err(syn::Error::new_spanned(option, message));
    }
    if !input.peek(Token![=]) {
        return Err(input.error(message));
    }
    let equals: Token![=] = input.parse()?;
    if input.is_empty() || input.peek(Token![,]) {
        return Err(syn::Error::new_spanned(equals, message));
    }
    Ok(())
}

fn string(option: &Ident, input: ParseStream<'_>, form: &str) -> syn::Result<LitStr> {
    equals(option, input, form)?;
    if input.peek(LitStr) {
        input.parse()
    } else {
        Err(input.error(format_args!("`{option}` takes a string: write `{form}`")))
    }
}

/// One of a few strings.
fn keyword<T: Copy>(
    option: &Ident,
    input: ParseStream<'_>,
    form: &str,
    choices: &[(&str, T)],
) -> syn::Result<(LitStr, T)> {
    let text = string(option, input, form)?;
    let given = text.value();
    match choices.iter().find(|(choice, _)| *choice == given) {
        Some((_, value)) => Ok((text, *value)),
        None => {
            let names: Vec<_> = choices.iter().map(|(choice, _)| *choice).collect();
            let hint = match similar(&given, &names) {
                Some(name) => format!("did you mean `{option} = \"{name}\"`?"),
                None => format!(
                    "choose one of {}",
                    list(names.iter().map(|n| format!("\"{n}\"")))
                ),
            };
            Err(syn::Error::new_spanned(
                text,
                format_args!("unknown value \"{given}\" of `{option}`, {hint}"),
            ))
        }
    }
}

fn default(option: &Ident, input: ParseStream<'_>) -> syn::Result<Option<Expr>> {
    if input.is_empty() || input.peek(Token![,]) {
        return Ok(None);
    }
    equals(option, input, "default = 3")?;
    input.parse().map(Some)
}

fn path(option: &Ident, input: ParseStream<'_>) -> syn::Result<Path> {
    let form = "crate = my_crate::session_runtime";
    equals(option, input, form)?;
    // A keyword too: `crate = crate`.
    if input.peek(Token![::]) || input.peek(Ident::peek_any) {
        input.call(Path::parse_mod_style)
    } else {
        Err(input.error(format_args!("`{option}` takes a path: write `{form}`")))
    }
}

fn codec(option: &Ident, input: ParseStream<'_>) -> syn::Result<Type> {
    let form = "codec = Postcard";
    equals(option, input, form)?;
    if input.peek(syn::Lit) {
        return Err(input.error(format_args!("`{option}` takes a type: write `{form}`")));
    }
    input.parse()
}

fn unknown_struct_option(option: &Ident, name: &str) -> syn::Error {
    let hint = if symbol::OF_FIELDS.contains(&name) {
        return syn::Error::new_spanned(
            option,
            format_args!("`{name}` is an option of a field: write it above the field it is for"),
        );
    } else {
        hint(name, symbol::OF_STRUCTS)
    };
    syn::Error::new_spanned(option, format_args!("unknown option `{name}`, {hint}"))
}

fn unknown_field_option(option: &Ident, name: &str) -> syn::Error {
    if name == symbol::NAME {
        return syn::Error::new_spanned(
            option,
            "`name` is an option of the struct; a field's stored name is `rename = \"…\"`",
        );
    }
    if symbol::OF_STRUCTS.contains(&name) {
        return syn::Error::new_spanned(
            option,
            format_args!("`{name}` is an option of the struct: write it above the struct"),
        );
    }
    let hint = hint(name, symbol::OF_FIELDS);
    syn::Error::new_spanned(option, format_args!("unknown option `{name}`, {hint}"))
}

fn hint(name: &str, known: &[&str]) -> String {
    match similar(name, known) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!(
            "the options here are {}",
            list(known.iter().map(|known| format!("`{known}`")))
        ),
    }
}

/// The known name that is a slip of the pen away.
fn similar<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), *known))
        .filter(|(distance, known)| *distance <= known.len().div_ceil(3))
        .min()
        .map(|(_, known)| known)
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}
