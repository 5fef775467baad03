#[automatically_derived]
impl ::session_runtime::schema::SessionSchema for Shop {
    const NAME: &'static ::core::primitive::str = "shop";
    const FIELDS: &'static [::session_runtime::schema::FieldSpec] = &[
        ::session_runtime::schema::FieldSpec::new("shop.customer")
            .ttl(1800000u64, ::session_runtime::schema::Renew::Read)
            .principal(),
        ::session_runtime::schema::FieldSpec::new("shop.otp")
            .ttl(300000u64, ::session_runtime::schema::Renew::Write),
        ::session_runtime::schema::FieldSpec::new("shop.failed_logins")
            .ttl(600000u64, ::session_runtime::schema::Renew::Never)
            .merge(::session_runtime::schema::Merge::Integer {
                operation: ::session_runtime::schema::MergeOperation::Add,
                range: <u32 as ::session_runtime::schema::Integer>::RANGE,
            }),
        ::session_runtime::schema::FieldSpec::new("shop.cart"),
        ::session_runtime::schema::FieldSpec::new("shop.theme")
            .aliases(&["shop.colours"]),
    ];
    fn read(fields: &mut ::session_runtime::schema::FieldReader<'_>) -> Self {
        Self {
            customer: <CustomerId as ::session_runtime::schema::Storable>::read::<
                ::session_runtime::schema::Json,
            >(fields, 0usize),
            otp: <Otp as ::session_runtime::schema::Storable>::read::<
                ::session_runtime::schema::Json,
            >(fields, 1usize),
            failed_logins: <u32 as ::session_runtime::schema::Storable>::read::<
                ::session_runtime::schema::Json,
            >(fields, 2usize)
                .unwrap_or_else(|| <u32 as ::session_runtime::schema::FieldDefault>::field_default()),
            cart: <BTreeMap<
                Sku,
                u32,
            > as ::session_runtime::schema::Storable>::read::<
                ::session_runtime::schema::Json,
            >(fields, 3usize)
                .unwrap_or_else(|| <BTreeMap<
                    Sku,
                    u32,
                > as ::session_runtime::schema::FieldDefault>::field_default()),
            theme: <Theme as ::session_runtime::schema::Storable>::read::<
                <Postcard as ::session_runtime::schema::UsableCodec>::Itself,
            >(fields, 4usize)
                .unwrap_or_else(|| -> Theme { Theme::Light }),
            scratch: <Scratch as ::session_runtime::schema::FieldDefault>::field_default(),
        }
    }
    fn read_field(
        &mut self,
        index: ::core::primitive::usize,
        fields: &mut ::session_runtime::schema::FieldReader<'_>,
    ) {
        match index {
            0usize => {
                self.customer = <CustomerId as ::session_runtime::schema::Storable>::read::<
                    ::session_runtime::schema::Json,
                >(fields, 0usize);
            }
            1usize => {
                self.otp = <Otp as ::session_runtime::schema::Storable>::read::<
                    ::session_runtime::schema::Json,
                >(fields, 1usize);
            }
            2usize => {
                self.failed_logins = <u32 as ::session_runtime::schema::Storable>::read::<
                    ::session_runtime::schema::Json,
                >(fields, 2usize)
                    .unwrap_or_else(|| <u32 as ::session_runtime::schema::FieldDefault>::field_default());
            }
            3usize => {
                self.cart = <BTreeMap<
                    Sku,
                    u32,
                > as ::session_runtime::schema::Storable>::read::<
                    ::session_runtime::schema::Json,
                >(fields, 3usize)
                    .unwrap_or_else(|| <BTreeMap<
                        Sku,
                        u32,
                    > as ::session_runtime::schema::FieldDefault>::field_default());
            }
            4usize => {
                self.theme = <Theme as ::session_runtime::schema::Storable>::read::<
                    <Postcard as ::session_runtime::schema::UsableCodec>::Itself,
                >(fields, 4usize)
                    .unwrap_or_else(|| -> Theme { Theme::Light });
            }
            _ => {}
        }
    }
    fn write(&self, fields: &mut ::session_runtime::schema::FieldWriter<'_>) {
        <CustomerId as ::session_runtime::schema::Storable>::write::<
            ::session_runtime::schema::Json,
        >(::core::option::Option::as_ref(&self.customer), fields);
        <Otp as ::session_runtime::schema::Storable>::write::<
            ::session_runtime::schema::Json,
        >(::core::option::Option::as_ref(&self.otp), fields);
        <u32 as ::session_runtime::schema::Storable>::write::<
            ::session_runtime::schema::Json,
        >(::core::option::Option::Some(&self.failed_logins), fields);
        <BTreeMap<
            Sku,
            u32,
        > as ::session_runtime::schema::Storable>::write::<
            ::session_runtime::schema::Json,
        >(::core::option::Option::Some(&self.cart), fields);
        <Theme as ::session_runtime::schema::Storable>::write::<
            <Postcard as ::session_runtime::schema::UsableCodec>::Itself,
        >(::core::option::Option::Some(&self.theme), fields);
    }
}
#[automatically_derived]
impl Shop {
    ///The handle of the session field `customer`, stored as `shop.customer`.
    const CUSTOMER: ::session_runtime::schema::Field<
        Self,
        Option<CustomerId>,
        CustomerId,
    > = ::session_runtime::schema::Field::with_codec(
        0usize,
        <CustomerId as ::session_runtime::schema::Storable>::decode::<
            ::session_runtime::schema::Json,
        >,
        <CustomerId as ::session_runtime::schema::Storable>::encode::<
            ::session_runtime::schema::Json,
        >,
        <::session_runtime::schema::Json as ::session_runtime::schema::Codec>::DECIMAL_INTEGERS,
    );
    ///The handle of the session field `otp`, stored as `shop.otp`.
    const OTP: ::session_runtime::schema::Field<Self, Option<Otp>, Otp> = ::session_runtime::schema::Field::with_codec(
        1usize,
        <Otp as ::session_runtime::schema::Storable>::decode::<
            ::session_runtime::schema::Json,
        >,
        <Otp as ::session_runtime::schema::Storable>::encode::<
            ::session_runtime::schema::Json,
        >,
        <::session_runtime::schema::Json as ::session_runtime::schema::Codec>::DECIMAL_INTEGERS,
    );
    ///The handle of the session field `failed_logins`, stored as `shop.failed_logins`.
    const FAILED_LOGINS: ::session_runtime::schema::Field<Self, u32> = ::session_runtime::schema::Field::with_codec(
        2usize,
        <u32 as ::session_runtime::schema::Storable>::decode::<
            ::session_runtime::schema::Json,
        >,
        <u32 as ::session_runtime::schema::Storable>::encode::<
            ::session_runtime::schema::Json,
        >,
        <::session_runtime::schema::Json as ::session_runtime::schema::Codec>::DECIMAL_INTEGERS,
    );
    ///The handle of the session field `cart`, stored as `shop.cart`.
    const CART: ::session_runtime::schema::Field<Self, BTreeMap<Sku, u32>> = ::session_runtime::schema::Field::with_codec(
        3usize,
        <BTreeMap<
            Sku,
            u32,
        > as ::session_runtime::schema::Storable>::decode::<
            ::session_runtime::schema::Json,
        >,
        <BTreeMap<
            Sku,
            u32,
        > as ::session_runtime::schema::Storable>::encode::<
            ::session_runtime::schema::Json,
        >,
        <::session_runtime::schema::Json as ::session_runtime::schema::Codec>::DECIMAL_INTEGERS,
    );
    ///The handle of the session field `theme`, stored as `shop.theme`.
    const THEME: ::session_runtime::schema::Field<Self, Theme> = ::session_runtime::schema::Field::with_codec(
        4usize,
        <Theme as ::session_runtime::schema::Storable>::decode::<
            <Postcard as ::session_runtime::schema::UsableCodec>::Itself,
        >,
        <Theme as ::session_runtime::schema::Storable>::encode::<
            <Postcard as ::session_runtime::schema::UsableCodec>::Itself,
        >,
        <<Postcard as ::session_runtime::schema::UsableCodec>::Itself as ::session_runtime::schema::Codec>::DECIMAL_INTEGERS,
    );
}
