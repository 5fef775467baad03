//! A handle is no more visible than its field.

mod shop {
    use session_runtime::Session;

    #[derive(Session)]
    pub struct Shop {
        private: u32,
    }
}

fn main() {
    let _ = shop::Shop::PRIVATE;
}
