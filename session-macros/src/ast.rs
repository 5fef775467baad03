//! The struct and its options together, with the spans kept.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::ext::IdentExt as _;
use syn::{Data, DeriveInput, Error, Expr, Fields, GenericArgument, Path, PathArguments, Type};

use crate::attr::{FieldOptions, StructOptions};
use crate::ctxt::Ctxt;

/// A struct that is to become a session schema.
pub(crate) struct Schema<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) generics: &'a syn::Generics,
    pub(crate) options: StructOptions,
    /// In the order of their declaration.
    pub(crate) fields: Vec<Field<'a>>,
}

/// One field of it.
pub(crate) struct Field<'a> {
    pub(crate) original: &'a syn::Field,
    pub(crate) ident: &'a Ident,
    pub(crate) ty: &'a Type,
    pub(crate) options: FieldOptions,
}

impl<'a> Schema<'a> {
    /// Fails where the input is no struct with named fields.
    pub(crate) fn parse(
        ctxt: &Ctxt,
        input: &'a DeriveInput,
        options: StructOptions,
    ) -> syn::Result<Self> {
        for lifetime in input.generics.lifetimes() {
            ctxt.error(
                lifetime,
                "a session outlives the request and cannot borrow from it: remove the lifetime and \
                 own the data, `String` instead of `&'a str`",
            );
        }
        let fields = named_fields(input)?;
        Ok(Self {
            ident: &input.ident,
            generics: &input.generics,
            options,
            fields: fields
                .named
                .iter()
                .filter_map(|field| Field::parse(ctxt, field))
                .collect(),
        })
    }

    /// The first part of the stored names.
    pub(crate) fn name(&self) -> String {
        match &self.options.name {
            Some(name) => name.value.value(),
            None => snake_case(&self.ident.unraw().to_string()),
        }
    }

    /// The fields that are not skipped; their place here is their index.
    pub(crate) fn stored(&self) -> impl Iterator<Item = &Field<'a>> {
        self.fields
            .iter()
            .filter(|field| field.options.skip.is_none())
    }

    /// The codec that encodes this field, if it is not the default.
    pub(crate) fn codec<'s>(&'s self, field: &'s Field<'_>) -> Option<&'s Type> {
        let codec = field.options.codec.as_ref().or(self.options.codec.as_ref());
        codec.map(|codec| &codec.value)
    }
}

impl<'a> Field<'a> {
    fn parse(ctxt: &Ctxt, original: &'a syn::Field) -> Option<Self> {
        if let Err(error) = original.modifiers.require_empty() {
            ctxt.push(error);
        }
        if let Some((_, default)) = &original.default {
            ctxt.error(
                default,
                "default field values are not read by `Session`: write `#[session(default = …)]`",
            );
        }
        Some(Self {
            original,
            ident: original.ident.as_ref()?,
            ty: &original.ty,
            options: FieldOptions::parse(ctxt, &original.attrs),
        })
    }

    /// The name after the schema's.
    pub(crate) fn name(&self) -> String {
        match &self.options.rename {
            Some(name) => name.value.value(),
            None => self.ident.unraw().to_string(),
        }
    }

    /// The tokens that gave the field its name, for messages to point at.
    pub(crate) fn name_tokens(&self) -> &dyn ToTokens {
        match &self.options.rename {
            Some(name) => &name.value,
            None => self.ident,
        }
    }

    /// The associated constant that names the field.
    pub(crate) fn handle(&self) -> Ident {
        let name = self.ident.unraw().to_string().to_uppercase();
        format_ident!("{name}", span = self.ident.span())
    }

    /// The type of that constant.
    pub(crate) fn handle_type(&self, krate: &TokenStream) -> TokenStream {
        let ty = self.ty;
        let stored = self.optional().map(|inner| quote!(, #inner));
        quote!(#krate::schema::Field<Self, #ty #stored>)
    }

    /// The `T` of an `Option<T>` whose `None` is an absent field.
    ///
    /// With an explicit default the absent field is that default, and `None` is a value like any
    /// other.
    pub(crate) fn optional(&self) -> Option<&'a Type> {
        match self.explicit_default() {
            Some(_) => None,
            None => option_argument(self.ty),
        }
    }

    /// The expression in `default = …`.
    pub(crate) fn explicit_default(&self) -> Option<&Expr> {
        self.options.default.as_ref()?.value.as_ref()
    }
}

fn named_fields(input: &DeriveInput) -> syn::Result<&syn::FieldsNamed> {
    let name = &input.ident;
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => Ok(fields),
            Fields::Unnamed(fields) => Err(Error::new_spanned(
                fields,
                format_args!(
                    "`Session` needs named fields, they become the names in the store: \
                     write `struct {name} {{ … }}`"
                ),
            )),
            Fields::Unit => Err(Error::new_spanned(
                name,
                format_args!(
                    "`Session` needs named fields, this struct has none: \
                     write `struct {name} {{ … }}`"
                ),
            )),
        },
        Data::Enum(data) => Err(Error::new_spanned(
            data.enum_token,
            "`Session` works on structs with named fields: put the enum into a field of one",
        )),
        Data::Union(data) => Err(Error::new_spanned(
            data.union_token,
            "`Session` works on structs with named fields, not on unions",
        )),
    }
}

/// The `T` of a type that is written `Option<T>`, as the standard library's paths spell it.
pub(crate) fn option_argument(ty: &Type) -> Option<&Type> {
    let path = match ty {
        Type::Path(ty) if ty.qself.is_none() => &ty.path,
        // Around a type that came out of a `macro_rules!` variable.
        Type::Group(ty) => return option_argument(&ty.elem),
        Type::Paren(ty) => return option_argument(&ty.elem),
        _ => return None,
    };
    if !is_option(path) {
        return None;
    }
    match &path.segments.last()?.arguments {
        PathArguments::AngleBracketed(arguments) if arguments.args.len() == 1 => {
            match arguments.args.first()? {
                GenericArgument::Type(ty) => Some(ty),
                _ => None,
            }
        }
        _ => None,
    }
}

fn is_option(path: &Path) -> bool {
    let names: Vec<_> = path.segments.iter().map(|s| s.ident.to_string()).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    match names.as_slice() {
        ["Option"] => path.leading_colon.is_none(),
        ["std" | "core", "option", "Option"] => true,
        _ => false,
    }
}

/// `ShopCart` as `shop_cart`, and `HTTPLogin` as `http_login`.
fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| letters.get(before));
        let after = letters.get(at + 1);
        let starts_word = letter.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase()
                    || before.is_numeric()
                    || before.is_uppercase() && after.is_some_and(|after| after.is_lowercase())
            });
        if starts_word {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    #[test]
    fn struct_names_become_snake_case() {
        for (name, snake) in [
            ("Shop", "shop"),
            ("ShopCart", "shop_cart"),
            ("HTTPLogin", "http_login"),
            ("LoginV2", "login_v2"),
            ("V2Login", "v2_login"),
            ("Already_Snake", "already_snake"),
            ("X", "x"),
        ] {
            assert_eq!(snake_case(name), snake);
        }
    }

    #[test]
    fn options_are_known_by_their_spelling() {
        for ty in [
            parse_quote!(Option<u8>),
            parse_quote!(std::option::Option<u8>),
            parse_quote!(::core::option::Option<u8>),
            parse_quote!((Option<u8>)),
        ] {
            assert!(option_argument(&ty).is_some());
        }
        for ty in [
            parse_quote!(Option),
            parse_quote!(Option<u8, u8>),
            parse_quote!(my::Option<u8>),
            parse_quote!(<X as Y>::Option<u8>),
            parse_quote!(Vec<Option<u8>>),
        ] {
            assert!(option_argument(&ty).is_none());
        }
    }
}
