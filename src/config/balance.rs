//! Who comes first inside a tier of a route: `balance` and the tiers of `[[route]]`, and a trunk's
//! `weight`.

use super::reader::{Table, Value};
use super::trunks::Placed;
use crate::base::TrunkName;
use crate::routing::{Balance, MAX_WEIGHT, TierTrunk};

/// One trunk of a tier, whose name is not looked up yet.
pub(super) struct TierDraft {
    pub(super) trunk: Placed<TrunkName>,
    pub(super) weight: Option<u32>,
}

impl TierDraft {
    pub(super) fn into_member(self) -> TierTrunk {
        TierTrunk { trunk: self.trunk.what, weight: self.weight }
    }
}

/// `balance` of a route.
pub(super) fn read_balance(table: &Table<'_>) -> Option<Balance> {
    let choices = [Balance::Weight, Balance::RoundRobin, Balance::LeastCalls, Balance::Hash];
    table.value("balance")?.text()?.one_of(&choices.map(|balance| (balance.as_str(), balance)))
}

/// `weight` of a trunk, or of a trunk in a tier.
pub(super) fn read_weight(table: &Table<'_>) -> Option<u32> {
    table.value("weight")?.integer(0..=MAX_WEIGHT)
}

/// One trunk, or several of the same rank.
pub(super) fn read_tier(value: &Value<'_>) -> Vec<TierDraft> {
    value.one_or_list().iter().filter_map(member).collect()
}

/// `"vonage-a"`, or `{ trunk = "vonage-a", weight = 3 }`.
fn member(value: &Value<'_>) -> Option<TierDraft> {
    if !value.is_table() {
        return name(value).map(|trunk| TierDraft { trunk, weight: None });
    }
    let table = value.table()?;
    let trunk = table.required("trunk", "\"name-of-a-trunk\"").and_then(|value| name(&value));
    let weight = read_weight(&table);
    table.finish();
    Some(TierDraft { trunk: trunk?, weight })
}

fn name(value: &Value<'_>) -> Option<Placed<TrunkName>> {
    let text = value.text()?;
    Some(Placed { what: text.text.as_str().into(), place: text.place, path: text.path })
}
