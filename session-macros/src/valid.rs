//! Rules between the options of a field, between a field and its type, and between fields. Each is
//! one function that reports what breaks it.

use std::collections::HashMap;

use quote::ToTokens;
use syn::Type;

use crate::ast::{Field, Schema, option_argument};
use crate::attr::{Given, Merge};
use crate::ctxt::Ctxt;

pub(crate) fn check(ctxt: &Ctxt, schema: &Schema<'_>) {
    schema_name(ctxt, schema);
    for field in &schema.fields {
        if field.options.skip.is_some() {
            nothing_beside_skip(ctxt, field);
            continue;
        }
        names(ctxt, field);
        renew_needs_ttl(ctxt, field);
        arithmetic_needs_json(ctxt, schema, field);
        arithmetic_needs_plain_text(ctxt, field);
        arithmetic_needs_a_value(ctxt, field);
        principal_is_optional(ctxt, field);
        principal_has_no_default(ctxt, field);
        principal_is_not_combined(ctxt, field);
        principal_is_not_sealed(ctxt, field);
    }
    one_principal(ctxt, schema);
    names_differ(ctxt, schema);
    handles_differ(ctxt, schema);
}

fn schema_name(ctxt: &Ctxt, schema: &Schema<'_>) {
    if let Some(name) = &schema.options.name {
        name_is_usable(ctxt, &name.value);
    }
}

fn names(ctxt: &Ctxt, field: &Field<'_>) {
    let rename = field.options.rename.iter();
    for name in rename.chain(&field.options.aliases) {
        name_is_usable(ctxt, &name.value);
    }
}

fn name_is_usable(ctxt: &Ctxt, name: &syn::LitStr) {
    let text = name.value();
    if text.is_empty() {
        ctxt.error(name, "the name is empty: give one, or leave the option out");
    } else if text.starts_with('@') {
        ctxt.error(
            name,
            "names that begin with `@` belong to the session itself: choose another",
        );
    } else if let Some(wrong) = text.chars().find(|c| c.is_whitespace() || c.is_control()) {
        ctxt.error(
            name,
            format_args!(
                "the name contains {wrong:?}: names have neither white space nor control characters"
            ),
        );
    }
}

fn nothing_beside_skip(ctxt: &Ctxt, field: &Field<'_>) {
    let options = &field.options;
    let names = [
        options.ttl.as_ref().map(|given| &given.option),
        options.renew.as_ref().map(|given| &given.option),
        options.rename.as_ref().map(|given| &given.option),
        options.codec.as_ref().map(|given| &given.option),
        options.merge.as_ref().map(|given| &given.option),
        options.principal.as_ref().map(|given| &given.option),
        options.encrypt.as_ref().map(|given| &given.option),
        options.sensitive.as_ref().map(|given| &given.option),
    ];
    let aliases = options.aliases.iter().map(|given| &given.option);
    for name in names.into_iter().flatten().chain(aliases) {
        ctxt.error(
            name,
            format_args!(
                "`{name}` says how a field is stored, but `skip` leaves this one out: \
                 remove `{name}` or `skip`"
            ),
        );
    }
}

fn renew_needs_ttl(ctxt: &Ctxt, field: &Field<'_>) {
    if let (Some(renew), None) = (&field.options.renew, &field.options.ttl) {
        ctxt.error(
            &renew.option,
            "`renew` says what restarts a `ttl`, and this field has none: \
             add one, `ttl = \"5m\"`, or remove `renew`",
        );
    }
}

/// The merge that the store calculates itself, if the field has one.
fn arithmetic<'f>(field: &'f Field<'_>) -> Option<&'f syn::LitStr> {
    let (text, merge) = &field.options.merge.as_ref()?.value;
    merge.is_arithmetic().then_some(text)
}

fn arithmetic_needs_json(ctxt: &Ctxt, schema: &Schema<'_>, field: &Field<'_>) {
    let Some(merge) = arithmetic(field) else {
        return;
    };
    match schema.codec(field) {
        Some(codec) if !is_json(codec) => {
            let message = format!(
                "`{}` works on decimal text, which only `Json` writes: \
                 add `codec = Json` to this field, or remove `merge`",
                merge.value()
            );
            match &field.options.codec {
                Some(own) => ctxt.error(&own.value, message),
                None => ctxt.error(merge, message),
            }
        }
        _ => {}
    }
}

fn is_json(codec: &Type) -> bool {
    match codec {
        Type::Path(ty) => ty
            .path
            .segments
            .last()
            .is_some_and(|last| last.ident == "Json" && last.arguments.is_none()),
        // Around a type that came out of a `macro_rules!` variable.
        Type::Group(ty) => is_json(&ty.elem),
        _ => false,
    }
}

fn arithmetic_needs_plain_text(ctxt: &Ctxt, field: &Field<'_>) {
    if let (Some(merge), Some(encrypt)) = (arithmetic(field), &field.options.encrypt) {
        ctxt.error(
            &encrypt.option,
            format_args!(
                "the store cannot calculate `{}` with an encrypted value: \
                 remove `encrypt` or `merge`",
                merge.value()
            ),
        );
    }
}

fn arithmetic_needs_a_value(ctxt: &Ctxt, field: &Field<'_>) {
    if let (Some(merge), Some(inner)) = (arithmetic(field), option_argument(field.ty)) {
        let inner = inner.to_token_stream();
        ctxt.error(
            field.ty,
            format_args!(
                "`{}` needs an integer that is there: write `{}: {inner}`, \
                 which is its default until it is first set",
                merge.value(),
                field.ident,
            ),
        );
    }
}

fn principal_is_optional(ctxt: &Ctxt, field: &Field<'_>) {
    if field.options.principal.is_some() && option_argument(field.ty).is_none() {
        let ty = field.ty.to_token_stream();
        ctxt.error(
            field.ty,
            format_args!(
                "a `principal` can be absent: write `{}: Option<{ty}>`",
                field.ident
            ),
        );
    }
}

fn principal_has_no_default(ctxt: &Ctxt, field: &Field<'_>) {
    if let (Some(_), Some(default)) = (&field.options.principal, &field.options.default)
        && field.explicit_default().is_some()
    {
        ctxt.error(
            &default.option,
            "a `principal` is `None` when no user is signed in: remove `default`",
        );
    }
}

fn principal_is_not_combined(ctxt: &Ctxt, field: &Field<'_>) {
    if let (Some(_), Some(merge)) = (&field.options.principal, &field.options.merge) {
        let (text, merge) = &merge.value;
        if !matches!(merge, Merge::Replace | Merge::Reject) {
            ctxt.error(
                text,
                "a `principal` is replaced or kept, never combined: \
                 write `merge = \"reject\"` or remove `merge`",
            );
        }
    }
}

fn principal_is_not_sealed(ctxt: &Ctxt, field: &Field<'_>) {
    if let (Some(_), Some(encrypt)) = (&field.options.principal, &field.options.encrypt) {
        ctxt.error(
            &encrypt.option,
            "the index of principals needs the value as it is: \
             remove `encrypt`, and keep what is secret in another field",
        );
    }
}

fn one_principal(ctxt: &Ctxt, schema: &Schema<'_>) {
    let mut principals = schema.stored().filter_map(|field| {
        let principal = field.options.principal.as_ref()?;
        Some((field.ident, principal))
    });
    let Some((first, _)) = principals.next() else {
        return;
    };
    for (_, Given { option, .. }) in principals {
        ctxt.error(
            option,
            format_args!(
                "a session belongs to one principal, and `{first}` already says which: \
                 remove `principal` here or there"
            ),
        );
    }
}

/// Stored names and aliases are one namespace. The field whose name it is, is not at fault.
fn names_differ(ctxt: &Ctxt, schema: &Schema<'_>) {
    let mut owners = HashMap::new();
    for field in schema.stored() {
        let name = field.name();
        match owners.get(&name) {
            None => {
                owners.insert(name, (field, false));
            }
            Some((owner, _)) => ctxt.error(
                field.name_tokens(),
                format_args!(
                    "the stored name `{name}` is already that of field `{}`: \
                     give one of them another `rename`",
                    owner.ident
                ),
            ),
        }
    }
    for field in schema.stored() {
        for alias in &field.options.aliases {
            let name = alias.value.value();
            if name.is_empty() {
                continue; // reported as such
            }
            match owners.get(&name) {
                None => {
                    owners.insert(name, (field, true));
                }
                Some((owner, _)) if owner.ident == field.ident => ctxt.error(
                    &alias.value,
                    format_args!("this field is already read as `{name}`: remove the `alias`"),
                ),
                Some((owner, is_alias)) => ctxt.error(
                    &alias.value,
                    format_args!(
                        "`{name}` is already {} of field `{}`: an older name leads to one field",
                        if *is_alias {
                            "an alias"
                        } else {
                            "the stored name"
                        },
                        owner.ident
                    ),
                ),
            }
        }
    }
}

fn handles_differ(ctxt: &Ctxt, schema: &Schema<'_>) {
    let mut owners: HashMap<String, &Field<'_>> = HashMap::new();
    for field in schema.stored() {
        let handle = field.handle().to_string();
        match owners.get(&handle) {
            None => {
                owners.insert(handle, field);
            }
            Some(owner) => ctxt.error(
                field.ident,
                format_args!(
                    "fields `{}` and `{}` would both get the handle `{}::{handle}`: \
                     name one of them differently, `rename` keeps its stored name",
                    owner.ident, field.ident, schema.ident
                ),
            ),
        }
    }
}
