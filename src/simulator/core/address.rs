//! Where money can be sent to or come from, in no provider's words: how one provider's account is found
//! by another's payout.

/// An account somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// In whose name, where that is known.
    pub(crate) holder: Option<String>,
    pub(crate) number: Number,
    /// The bank, where that is known beside the number.
    pub(crate) bic: Option<String>,
}

/// What names the account; equal numbers are one account, whatever the name and the bank beside them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Number {
    Iban(String),
    SortCode {
        sort_code: String,
        account: String,
    },
    BankCode {
        code: String,
        account: String,
    },
    Bban(String),
    Aba {
        routing: String,
        account: String,
    },
    /// The chain in the words most share: `ethereum`, `polygon_amoy`.
    Wallet {
        address: String,
        chain: String,
    },
}

impl Address {
    /// Whether both name the same account.
    pub(crate) fn same_account(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
