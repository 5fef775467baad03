//! The products of the shop.

pub(crate) struct Product {
    pub(crate) sku: &'static str,
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    cents: u32,
}

pub(crate) const PRODUCTS: [Product; 4] = [
    Product {
        sku: "tea",
        name: "Green tea",
        description: "Sencha from the first harvest, 100 g",
        cents: 1290,
    },
    Product {
        sku: "pot",
        name: "Tea pot",
        description: "Cast iron, 0.8 l, keeps warm for an hour",
        cents: 4950,
    },
    Product {
        sku: "cup",
        name: "Cup",
        description: "Porcelain, thin as paper",
        cents: 1400,
    },
    Product {
        sku: "tin",
        name: "Tin",
        description: "Closes tightly, holds 150 g",
        cents: 890,
    },
];

pub(crate) fn find(sku: &str) -> Option<&'static Product> {
    PRODUCTS.iter().find(|product| product.sku == sku)
}

impl Product {
    pub(crate) fn price(&self) -> String {
        euros(self.cents.into())
    }

    /// The price of so many.
    pub(crate) fn total(&self, count: u32) -> u64 {
        u64::from(self.cents) * u64::from(count)
    }
}

pub(crate) fn euros(cents: u64) -> String {
    format!("€ {}.{:02}", cents / 100, cents % 100)
}
