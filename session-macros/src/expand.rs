//! Writes the implementation.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{DeriveInput, Type};

use crate::ast::{Field, Schema};
use crate::attr::{Merge, Renew, StructOptions};
use crate::ctxt::Ctxt;
use crate::{fallback, generics, quiet, valid};

pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let ctxt = Ctxt::new();
    let options = StructOptions::parse(&ctxt, &input.attrs);
    let krate = options.krate();
    let schema = match Schema::parse(&ctxt, input, options) {
        Ok(schema) => schema,
        Err(error) => {
            return fallback::expand(input, &krate, None, &ctxt.finish_with(error));
        }
    };
    valid::check(&ctxt, &schema);
    match ctxt.finish() {
        Ok(()) => implementation(input, &schema, &krate),
        Err(error) => fallback::expand(input, &krate, Some(&schema), &error),
    }
}

fn implementation(input: &DeriveInput, schema: &Schema<'_>, krate: &TokenStream) -> TokenStream {
    let ident = quiet::ident(schema.ident);
    let allowed = quiet::allowed(input);
    let generics = generics::with_bounds(schema, krate);
    let (impl_generics, arguments, where_clause) = generics.split_for_impl();
    let name = schema.name();
    let stored: Vec<_> = schema
        .stored()
        .enumerate()
        .map(|(index, field)| Stored {
            krate,
            schema,
            index,
            field,
        })
        .collect();
    let specs = stored.iter().map(Stored::spec);
    let read_fields = stored.iter().map(Stored::read_again);
    let writes = stored.iter().map(Stored::write);
    let handles = stored.iter().map(Stored::handle);

    let reads = stored.iter().map(|stored| {
        let (member, value) = (quiet::ident(stored.field.ident), stored.read());
        quote!(#member: #value)
    });
    let skipped = schema
        .fields
        .iter()
        .filter(|field| field.options.skip.is_some())
        .map(|field| {
            let (member, value) = (quiet::ident(field.ident), skipped(krate, field));
            quote!(#member: #value)
        });
    let members = reads.chain(skipped);
    let (fields, index) = (local("fields"), local("index"));

    // No `allow` of its own: lints do not look into what a derive writes, and an `allow` would not
    // compile where a program forbids the lint.
    quote! {
        #allowed
        #[automatically_derived]
        impl #impl_generics #krate::schema::SessionSchema for #ident #arguments #where_clause {
            const NAME: &'static ::core::primitive::str = #name;

            const FIELDS: &'static [#krate::schema::FieldSpec] = &[#(#specs),*];

            fn read(#fields: &mut #krate::schema::FieldReader<'_>) -> Self {
                Self { #(#members),* }
            }

            fn read_field(
                &mut self,
                #index: ::core::primitive::usize,
                #fields: &mut #krate::schema::FieldReader<'_>,
            ) {
                match #index {
                    #(#read_fields)*
                    _ => {}
                }
            }

            fn write(&self, #fields: &mut #krate::schema::FieldWriter<'_>) {
                #(#writes)*
            }
        }

        #allowed
        #[automatically_derived]
        impl #impl_generics #ident #arguments #where_clause {
            #(#handles)*
        }
    }
}

/// A variable that the expressions in the options cannot see.
fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

/// One stored field.
///
/// Requirements on its type are written as `<Type as Trait>::function`, with the
/// type's span, always the same: rustc then reports a type that cannot once, at the field.
struct Stored<'a> {
    krate: &'a TokenStream,
    schema: &'a Schema<'a>,
    index: usize,
    field: &'a Field<'a>,
}

impl Stored<'_> {
    /// Its entry in `FIELDS`.
    fn spec(&self) -> TokenStream {
        let Self { krate, field, .. } = self;
        let options = &field.options;
        let full_name = |name: &str| format!("{}.{name}", self.schema.name());

        let name = full_name(&field.name());
        let mut spec = quote!(#krate::schema::FieldSpec::new(#name));
        if !options.aliases.is_empty() {
            let aliases = options.aliases.iter().map(|a| full_name(&a.value.value()));
            spec.extend(quote!(.aliases(&[#(#aliases),*])));
        }
        if let Some(ttl) = &options.ttl {
            let millis = ttl.value;
            let renew = match options.renew.as_ref().map(|renew| renew.value) {
                None | Some(Renew::Write) => quote!(Write),
                Some(Renew::Read) => quote!(Read),
                Some(Renew::Never) => quote!(Never),
            };
            spec.extend(quote!(.ttl(#millis, #krate::schema::Renew::#renew)));
        }
        if let Some(merge) = &options.merge {
            let merge = self.merge(merge.value.1);
            spec.extend(quote!(.merge(#merge)));
        }
        if options.principal.is_some() {
            spec.extend(quote!(.principal()));
        }
        if options.encrypt.is_some() {
            spec.extend(quote!(.encrypted()));
        }
        if options.sensitive.is_some() {
            spec.extend(quote!(.sensitive()));
        }
        spec
    }

    fn merge(&self, merge: Merge) -> TokenStream {
        let krate = self.krate;
        let operation = match merge {
            Merge::Replace => return quote!(#krate::schema::Merge::Replace),
            Merge::First => return quote!(#krate::schema::Merge::First),
            Merge::Reject => return quote!(#krate::schema::Merge::Reject),
            Merge::Add => quote!(Add),
            Merge::Max => quote!(Max),
            Merge::Min => quote!(Min),
        };
        let ty = self.field.ty;
        let range = quote_spanned!(ty.span()=> <#ty as #krate::schema::Integer>::RANGE);
        quote! {
            #krate::schema::Merge::Integer {
                operation: #krate::schema::MergeOperation::#operation,
                range: #range,
            }
        }
    }

    /// Its value, from the reader.
    fn read(&self) -> TokenStream {
        let Self { krate, field, .. } = self;
        let (fields, index) = (local("fields"), self.index);
        let (storable, codec) = (self.storable(), self.codec());
        let read = quote!(#storable::read::<#codec>(#fields, #index));
        if field.optional().is_some() {
            return read;
        }
        match field.explicit_default() {
            Some(default) => {
                let ty = field.ty;
                quote!(#read.unwrap_or_else(|| -> #ty { #default }))
            }
            None => {
                let default = default_value(krate, field);
                quote!(#read.unwrap_or_else(|| #default))
            }
        }
    }

    /// The arm that reads it again.
    fn read_again(&self) -> TokenStream {
        let member = quiet::ident(self.field.ident);
        let (index, value) = (self.index, self.read());
        quote!(#index => self.#member = #value,)
    }

    /// Hands its value to the writer.
    fn write(&self) -> TokenStream {
        let (member, fields) = (quiet::ident(self.field.ident), local("fields"));
        let (storable, codec) = (self.storable(), self.codec());
        let value = match self.field.optional() {
            Some(_) => quote!(::core::option::Option::as_ref(&self.#member)),
            None => quote!(::core::option::Option::Some(&self.#member)),
        };
        quote!(#storable::write::<#codec>(#value, #fields);)
    }

    /// The associated constant that names it.
    fn handle(&self) -> TokenStream {
        let Self { krate, field, .. } = self;
        let (visibility, handle) = (&field.original.vis, field.handle());
        let (index, ty) = (self.index, field.handle_type(krate));
        let (storable, codec) = (self.storable(), self.codec());
        let docs = format!(
            "The handle of the session field `{}`, stored as `{}.{}`.",
            field.ident,
            self.schema.name(),
            field.name(),
        );
        // At the field, so that a clash with another constant is reported there.
        let here = field.ident.span().resolved_at(Span::call_site());
        quote_spanned! {here=>
            #[doc = #docs]
            #visibility const #handle: #ty = #krate::schema::Field::with_codec(
                #index,
                #storable::decode::<#codec>,
                #storable::encode::<#codec>,
                <#codec as #krate::schema::Codec>::DECIMAL_INTEGERS,
            );
        }
    }

    /// The type in the store, as one that can be stored.
    fn storable(&self) -> TokenStream {
        let krate = self.krate;
        let ty: &Type = self.field.optional().unwrap_or(self.field.ty);
        quote_spanned!(ty.span()=> <#ty as #krate::schema::Storable>)
    }

    fn codec(&self) -> TokenStream {
        let krate = self.krate;
        match self.schema.codec(self.field) {
            None => quote!(#krate::schema::Json),
            Some(codec) => {
                quote_spanned!(codec.span()=> <#codec as #krate::schema::UsableCodec>::Itself)
            }
        }
    }
}

/// The value of a field that is not stored.
fn skipped(krate: &TokenStream, field: &Field<'_>) -> TokenStream {
    match field.explicit_default() {
        Some(default) => default.to_token_stream(),
        None => default_value(krate, field),
    }
}

fn default_value(krate: &TokenStream, field: &Field<'_>) -> TokenStream {
    let ty = field.ty;
    quote_spanned!(ty.span()=> <#ty as #krate::schema::FieldDefault>::field_default())
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;
    use syn::parse_quote;

    use super::*;

    /// The whole of an expansion, to be read. `UPDATE_EXPECT=1` writes a new one.
    #[test]
    fn shop() {
        let expansion = derive(&parse_quote! {
            #[session(name = "shop")]
            struct Shop {
                #[session(principal, ttl = "30m", renew = "read")]
                customer: Option<CustomerId>,
                #[session(ttl = "5m")]
                otp: Option<Otp>,
                #[session(ttl = "10m", renew = "never", merge = "add")]
                failed_logins: u32,
                cart: BTreeMap<Sku, u32>,
                #[session(default = Theme::Light, codec = Postcard, alias = "colours")]
                theme: Theme,
                #[session(skip)]
                scratch: Scratch,
            }
        });
        let file = syn::parse2(expansion).unwrap();
        expect_file!["../snapshots/shop.rs"].assert_eq(&prettyplease::unparse(&file));
    }

    #[test]
    fn a_generic_schema_bounds_what_it_stores() {
        let generics = |input: DeriveInput| {
            let ctxt = Ctxt::new();
            let schema = Schema::parse(&ctxt, &input, StructOptions::default()).unwrap();
            ctxt.finish().unwrap();
            let bounded = generics::with_bounds(&schema, &quote!(k));
            bounded.where_clause.to_token_stream().to_string()
        };
        assert_eq!(
            generics(parse_quote!(
                struct S {
                    value: u32,
                }
            )),
            "",
            "nothing is generic"
        );
        assert_eq!(
            generics(parse_quote! {
                struct S<A, B, C, const N: usize> where A: Clone {
                    list: Vec<A>,
                    optional: Option<[A; N]>,
                    #[session(default = new())]
                    item: B::Item,
                    #[session(skip)]
                    skipped: C,
                }
            }),
            quote! {
                where
                    A: Clone,
                    A: k::schema::FieldValue + ::core::marker::Send + 'static,
                    B::Item: k::schema::FieldValue + ::core::marker::Send + 'static,
                    B: ::core::marker::Send + 'static,
                    C: ::core::marker::Send + 'static,
                    Vec<A>: k::schema::FieldDefault,
                    C: k::schema::FieldDefault
            }
            .to_string()
        );
    }
}
