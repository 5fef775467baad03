//! The bounds that an implementation for a generic struct puts on its parameters.

use std::collections::HashSet;

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{GenericArgument, Generics, PathArguments, ReturnType, Type, parse_quote};

use crate::ast::Schema;

/// The struct's generics with the bounds of the implementation.
///
/// Every type parameter is `Send + 'static`, as a schema is. A parameter inside a stored field is a
/// `FieldValue`; bounding the parameter and not the field's whole type keeps a missing `Serialize`
/// an error at the field. The default value is the other way round: `Vec<T>` has one whatever `T`
/// is.
pub(crate) fn with_bounds(schema: &Schema<'_>, krate: &TokenStream) -> Generics {
    let mut generics = schema.generics.clone();
    let parameters: Vec<_> = schema.generics.type_params().map(|p| &p.ident).collect();
    if parameters.is_empty() {
        return generics;
    }

    let mut values = Vec::new();
    let mut defaults = Vec::new();
    for field in &schema.fields {
        if field.options.skip.is_none() {
            find(field.ty, &parameters, &mut values);
        }
        let needs_default = field.explicit_default().is_none() && field.optional().is_none();
        if needs_default && mentions(field.ty, &parameters) {
            defaults.push(field.ty);
        }
    }

    let mut seen = HashSet::new();
    values.retain(|ty| seen.insert(ty.to_token_stream().to_string()));
    let predicates = &mut generics.make_where_clause().predicates;
    for ty in values {
        predicates
            .push(parse_quote!(#ty: #krate::schema::FieldValue + ::core::marker::Send + 'static));
    }
    for parameter in parameters {
        if !seen.contains(&parameter.to_string()) {
            predicates.push(parse_quote!(#parameter: ::core::marker::Send + 'static));
        }
    }
    for ty in defaults {
        predicates.push(parse_quote!(#ty: #krate::schema::FieldDefault));
    }
    generics
}

/// The struct's generics with what every schema requires, for the fallback.
pub(crate) fn with_static_parameters(generics: &Generics) -> Generics {
    let mut bounded = generics.clone();
    for parameter in generics.type_params().map(|parameter| &parameter.ident) {
        let predicates = &mut bounded.make_where_clause().predicates;
        predicates.push(parse_quote!(#parameter: ::core::marker::Send + 'static));
    }
    bounded
}

/// Whether a parameter is written anywhere in the type.
fn mentions(ty: &Type, parameters: &[&syn::Ident]) -> bool {
    fn in_tokens(tokens: TokenStream, parameters: &[&syn::Ident]) -> bool {
        tokens.into_iter().any(|token| match token {
            proc_macro2::TokenTree::Ident(ident) => parameters.contains(&&ident),
            proc_macro2::TokenTree::Group(group) => in_tokens(group.stream(), parameters),
            _ => false,
        })
    }
    in_tokens(ty.to_token_stream(), parameters)
}

/// Finds the parameters and their associated types (`T`, `T::Item`, `<T as Trait>::Item`) whose
/// values are inside a value of this type.
fn find(ty: &Type, parameters: &[&syn::Ident], found: &mut Vec<Type>) {
    match ty {
        Type::Path(path) => {
            if let Some(qself) = &path.qself {
                if mentions(&qself.ty, parameters) {
                    found.push(ty.clone());
                }
                return;
            }
            let segments = &path.path.segments;
            if segments
                .first()
                .is_some_and(|first| parameters.contains(&&first.ident))
            {
                found.push(ty.clone());
                return;
            }
            // serde stores it whatever is inside.
            if segments
                .last()
                .is_some_and(|last| last.ident == "PhantomData")
            {
                return;
            }
            for segment in segments {
                find_in_arguments(&segment.arguments, parameters, found);
            }
        }
        Type::Array(ty) => find(&ty.elem, parameters, found),
        Type::Group(ty) => find(&ty.elem, parameters, found),
        Type::Paren(ty) => find(&ty.elem, parameters, found),
        Type::Slice(ty) => find(&ty.elem, parameters, found),
        Type::Tuple(ty) => ty.elems.iter().for_each(|ty| find(ty, parameters, found)),
        // Nothing else can be stored.
        _ => {}
    }
}

fn find_in_arguments(arguments: &PathArguments, parameters: &[&syn::Ident], found: &mut Vec<Type>) {
    match arguments {
        PathArguments::None => {}
        PathArguments::AngleBracketed(arguments) => {
            for argument in &arguments.args {
                if let GenericArgument::Type(ty) = argument {
                    find(ty, parameters, found);
                }
            }
        }
        PathArguments::Parenthesized(arguments) => {
            if let ReturnType::Type(_, ty) = &arguments.output {
                find(ty, parameters, found);
            }
        }
    }
}
