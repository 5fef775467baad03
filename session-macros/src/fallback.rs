//! The expansion for a struct with mistakes: the errors, and an implementation and handles all the
//! same, so that the rest of the program gets no follow-up errors.

use std::collections::HashSet;

use proc_macro2::TokenStream;
use quote::quote;
use syn::DeriveInput;

use crate::ast::Schema;
use crate::generics;

/// `schema` is there if the struct has the right shape.
pub(crate) fn expand(
    input: &DeriveInput,
    krate: &TokenStream,
    schema: Option<&Schema<'_>>,
    error: &syn::Error,
) -> TokenStream {
    let errors = error.to_compile_error();
    // A schema is `'static`. To implement it for a struct that borrows would be one more error.
    if input.generics.lifetimes().next().is_some() {
        return errors;
    }

    let ident = &input.ident;
    let generics = generics::with_static_parameters(&input.generics);
    let (impl_generics, arguments, where_clause) = generics.split_for_impl();
    let handles = schema.map(|schema| handles(schema, krate));
    quote! {
        #errors

        #[automatically_derived]
        impl #impl_generics #krate::schema::SessionSchema for #ident #arguments #where_clause {
            const NAME: &'static ::core::primitive::str = "";
            const FIELDS: &'static [#krate::schema::FieldSpec] = &[];

            fn read(_: &mut #krate::schema::FieldReader<'_>) -> Self {
                // The errors above keep the program from being built.
                ::core::unreachable!()
            }

            fn read_field(
                &mut self,
                _: ::core::primitive::usize,
                _: &mut #krate::schema::FieldReader<'_>,
            ) {}

            fn write(&self, _: &mut #krate::schema::FieldWriter<'_>) {}
        }

        #[automatically_derived]
        impl #impl_generics #ident #arguments #where_clause {
            #handles
        }
    }
}

fn handles(schema: &Schema<'_>, krate: &TokenStream) -> TokenStream {
    let mut seen = HashSet::new();
    schema
        .stored()
        .map(|field| (field, field.handle()))
        .filter(|(_, handle)| seen.insert(handle.to_string()))
        .map(|(field, handle)| {
            let visibility = &field.original.vis;
            let ty = field.handle_type(krate);
            quote! {
                #visibility const #handle: #ty = #krate::schema::Field::invalid();
            }
        })
        .collect()
}
