//! Silence where a lint looks into what the derive writes, because tokens of it are the program's.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use syn::{Data, DeriveInput, Meta};

/// The `allow`s of the struct and of its fields, for what is written of them: a type that is
/// deprecated, allowed where the field is declared, is named again in the implementation. An `expect`
/// is met by the struct itself.
pub(crate) fn allowed(input: &DeriveInput) -> TokenStream {
    let fields = match &input.data {
        Data::Struct(data) => Some(data.fields.iter()),
        Data::Enum(_) | Data::Union(_) => None,
    };
    let of_fields = fields.into_iter().flatten().flat_map(|field| &field.attrs);
    let attributes = input.attrs.iter().chain(of_fields);
    attributes
        .filter_map(|attribute| match &attribute.meta {
            Meta::List(list) if list.path.is_ident("allow") || list.path.is_ident("expect") => {
                Some(&list.tokens)
            }
            _ => None,
        })
        .map(|lints| quote!(#[allow(#lints)]))
        .collect()
}

/// The same name at the same place, as the derive's own token. With it the implementation of a
/// deprecated struct, or the reading of a deprecated field, is no use by the program.
pub(crate) fn ident(ident: &Ident) -> Ident {
    let mut ident = ident.clone();
    ident.set_span(Span::call_site().located_at(ident.span()));
    ident
}
