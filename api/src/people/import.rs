//! Affiliates from a CSV file: what each row would do, found out without writing anything.
//!
//! What a plan says holds for the moment in which it was made; whoever writes makes it again from the same text.

use super::windows::Holding;
use super::{Roster, new_handle};
use crate::words::full_sentence;
use domain::decision::{Rate, RuleScope};
use domain::decisions::fold_code;
use domain::ids::{AffiliateId, CodeId, Timestamp};
use std::collections::{HashMap, HashSet};
use store::control::input::*;
use store::control::{AffiliateInfo, MailAddress};

mod table;

pub use table::{FileError, MAX_BYTES, MAX_ROWS};
use table::{Row, Table};

/// Decisions that are written in one transaction.
const BATCH_DECISIONS: usize = 500;
/// Codes of one row.
const MAX_CODES: usize = 50;
/// Longest name or code, in characters, as the control store takes it.
const MAX_CHARACTERS: usize = 200;

/// What a file would do.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportPlan {
    /// Row by row, without empty ones.
    pub rows: Vec<PlannedRow>,
    /// Columns that mean nothing here.
    pub ignored_columns: Vec<String>,
}

/// One row and what it would do.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedRow {
    /// Line of the file in which it begins, from 1.
    pub line: u64,
    /// As written.
    pub name: String,
    /// As written.
    pub email: String,
    /// As written.
    pub code: String,
    /// As written.
    pub rate: String,
    /// What it would do.
    pub outcome: RowOutcome,
    decisions: Vec<DecisionInput>,
}

/// What a row would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowOutcome {
    /// Somebody new; what they get, as sentences.
    New(Vec<String>),
    /// Somebody known gets something, as sentences.
    Changed(Vec<String>),
    /// All of it is so already.
    Unchanged,
    /// It is left out.
    Wrong {
        /// `name`, `email`, `code` or `rate`.
        field: &'static str,
        /// What is wrong, as a sentence.
        message: String,
    },
}

impl ImportPlan {
    /// Reads a file and finds out what each row would do.
    ///
    /// # Errors
    /// When it is no such table at all.
    pub fn new(text: &str, roster: &Roster, now: Timestamp) -> Result<ImportPlan, FileError> {
        let table = Table::read(text)?;
        let mut planner = Planner::new(roster, now);
        let rows = table.rows.into_iter().map(|row| planner.plan(row)).collect();
        Ok(ImportPlan { rows, ignored_columns: table.ignored_columns })
    }

    /// How many rows would change something.
    pub fn effective(&self) -> usize {
        self.rows.iter().filter(|row| !row.decisions.is_empty()).count()
    }

    /// How many rows are wrong.
    pub fn wrong(&self) -> usize {
        self.rows.iter().filter(|row| matches!(row.outcome, RowOutcome::Wrong { .. })).count()
    }

    /// What has to be decided, in the order of the rows; each batch belongs into one transaction, and rows are whole in
    /// theirs.
    pub fn batches(self) -> Vec<Vec<DecisionInput>> {
        let mut batches: Vec<Vec<DecisionInput>> = Vec::new();
        for row in self.rows.into_iter().filter(|row| !row.decisions.is_empty()) {
            match batches.last_mut() {
                Some(batch) if batch.len() + row.decisions.len() <= BATCH_DECISIONS => batch.extend(row.decisions),
                _ => batches.push(row.decisions),
            }
        }
        batches
    }
}

/// Why a row is left out: field and sentence.
type Wrong = (&'static str, String);

struct Planner<'a> {
    roster: &'a Roster,
    now: Timestamp,
    known: HashMap<String, Vec<&'a AffiliateInfo>>,
    handles: HashSet<String>,
    code_numbers: HashMap<String, CodeId>,
    holdings: HashMap<CodeId, Vec<Holding>>,
    /// By mail address: handles that earlier rows make.
    made: HashMap<String, String>,
    /// Codes that earlier rows give, folded: to whom, and the line.
    given: HashMap<String, (String, u64)>,
    /// Rates that earlier rows set, by handle, and the line.
    rated: HashMap<String, (u32, u64)>,
}

/// Whom a row is about.
struct Person<'a> {
    key: String,
    known: Option<&'a AffiliateInfo>,
    /// Made by this very row.
    is_new: bool,
}

impl<'a> Planner<'a> {
    fn new(roster: &'a Roster, now: Timestamp) -> Planner<'a> {
        let named = roster.mappings.iter().filter_map(|map| Some((fold_code(map.code.as_deref()?), map.code_id)));
        let mut holdings: HashMap<CodeId, Vec<Holding>> = HashMap::new();
        for holding in roster.holdings() {
            holdings.entry(holding.code).or_default().push(holding);
        }
        Planner {
            roster,
            now,
            known: roster.by_email(),
            handles: roster.affiliates.iter().map(|affiliate| affiliate.key.clone()).collect(),
            code_numbers: named.collect(),
            holdings,
            made: HashMap::new(),
            given: HashMap::new(),
            rated: HashMap::new(),
        }
    }

    fn plan(&mut self, row: Row) -> PlannedRow {
        let (outcome, decisions) = match self.decide(&row) {
            Ok((is_new, decisions, gets)) => match (is_new, decisions.is_empty()) {
                (true, _) => (RowOutcome::New(gets), decisions),
                (false, false) => (RowOutcome::Changed(gets), decisions),
                (false, true) => (RowOutcome::Unchanged, decisions),
            },
            Err((field, message)) => (RowOutcome::Wrong { field, message }, Vec::new()),
        };
        PlannedRow {
            line: row.line,
            name: row.name,
            email: row.email,
            code: row.code,
            rate: row.rate,
            outcome,
            decisions,
        }
    }

    /// Whether the row makes somebody, its decisions, and what they give in words. Nothing is remembered of a wrong row.
    fn decide(&mut self, row: &Row) -> Result<(bool, Vec<DecisionInput>, Vec<String>), Wrong> {
        check_characters(row)?;
        let email = MailAddress::parse(&row.email).map_err(|why| {
            ("email", if row.email.is_empty() { "There is no address.".to_owned() } else { full_sentence(&why) })
        })?;
        let person = self.person(email.as_str(), &row.name)?;
        let codes = self.new_codes(&person, &row.code)?;
        let rate = self.new_rate(&person, &row.rate)?;
        let mut decisions = Vec::new();
        let mut gets = Vec::new();
        if person.is_new {
            decisions.push(DecisionInput::Affiliate(AffiliateInput {
                key: person.key.clone(),
                name: Some(row.name.clone()),
                email: Some(email.to_string()),
                must_be_new: true,
                ..AffiliateInput::default()
            }));
            self.handles.insert(person.key.clone());
            self.made.insert(email.to_string(), person.key.clone());
        }
        for code in codes {
            gets.push(format!("Gets the code {code}."));
            self.given.insert(fold_code(&code), (person.key.clone(), row.line));
            let affiliate = Some(person.key.clone());
            decisions.push(DecisionInput::Map(MapInput { code: Some(code), affiliate, ..MapInput::default() }));
        }
        if let Some(ppm) = rate {
            gets.push(format!("Earns {} %.", super::words::percent(ppm)));
            self.rated.insert(person.key.clone(), (ppm, row.line));
            decisions.push(DecisionInput::Rule(self.rule(&person, ppm)));
        }
        Ok((person.is_new, decisions, gets))
    }

    fn person(&self, email: &str, name: &str) -> Result<Person<'a>, Wrong> {
        match self.known.get(email).map(Vec::as_slice) {
            Some([one]) => return Ok(Person { key: one.key.clone(), known: Some(one), is_new: false }),
            Some([_, _, ..]) => return Err(("email", "Several affiliates have this address.".to_owned())),
            _ => {}
        }
        if let Some(key) = self.made.get(email) {
            return Ok(Person { key: key.clone(), known: None, is_new: false });
        }
        if name.is_empty() {
            return Err(("name", "A new affiliate needs a name.".to_owned()));
        }
        let key = new_handle(name, |handle| self.handles.contains(handle));
        Ok(Person { key, known: None, is_new: true })
    }

    /// The codes of a row that are not the person's yet.
    fn new_codes(&self, person: &Person<'_>, text: &str) -> Result<Vec<String>, Wrong> {
        let codes: Vec<&str> = text
            .split(|sign: char| sign.is_whitespace() || ";,|".contains(sign))
            .filter(|code| !code.is_empty())
            .collect();
        if codes.len() > MAX_CODES {
            return Err(("code", format!("At most {MAX_CODES} codes fit into one row.")));
        }
        let mut new: Vec<String> = Vec::new();
        for code in codes {
            if code.chars().count() > MAX_CHARACTERS {
                return Err(("code", format!("A code has at most {MAX_CHARACTERS} characters.")));
            }
            let twice = new.iter().any(|other| fold_code(other) == fold_code(code));
            if !twice && !self.has_code(person, code)? {
                new.push(code.to_owned());
            }
        }
        Ok(new)
    }

    fn has_code(&self, person: &Person<'_>, code: &str) -> Result<bool, Wrong> {
        if let Some((key, line)) = self.given.get(&fold_code(code)) {
            return if *key == person.key {
                Ok(true)
            } else {
                Err(("code", format!("Line {line} gives {code} to somebody else.")))
            };
        }
        let number = self.code_numbers.get(&fold_code(code));
        let Some(holdings) = number.and_then(|number| self.holdings.get(number)) else { return Ok(false) };
        let now: Vec<Option<AffiliateId>> =
            holdings.iter().filter(|holding| holding.holds_at(self.now)).map(|holding| holding.affiliate).collect();
        let mine = person.known.map(|known| known.id);
        if mine.is_some() && now.contains(&mine) {
            return Ok(true);
        }
        let holder = now.first().copied().flatten().and_then(|id| self.roster.by_id(id));
        Err((
            "code",
            match holder {
                Some(holder) => format!("{code} belongs to {}. Move it on the page of the code.", holder.name),
                None => format!("{code} is known and belongs to nobody now. Give it away on the page of the code."),
            },
        ))
    }

    fn new_rate(&self, person: &Person<'_>, text: &str) -> Result<Option<u32>, Wrong> {
        if text.is_empty() {
            return Ok(None);
        }
        let ppm = read_percent(text).map_err(|message| ("rate", message))?;
        if let Some((other, line)) = self.rated.get(&person.key) {
            return if *other == ppm { Ok(None) } else { Err(("rate", format!("Line {line} says another rate."))) };
        }
        let own = person.known.and_then(|known| self.roster.own_rule(RuleScope::Affiliate(known.id), self.now));
        let is_so = own.is_some_and(|rule| rule.rate == Some(Rate::Percent { ppm }));
        Ok((!is_so).then_some(ppm))
    }

    /// For as long and of the same as what they earn now. Somebody known earns it from now on, somebody new always.
    fn rule(&self, person: &Person<'_>, ppm: u32) -> RuleInput {
        let holds = self.roster.rule_at(person.known.map(|known| known.id), self.now);
        RuleInput {
            scope: ScopeInput::Affiliate(person.key.clone()),
            percent: None,
            percent_ppm: Some(ppm),
            flat: None,
            none: None,
            duration: Some(holds.duration),
            base: Some(holds.base),
            effective_from: person.known.map(|_| Moment(self.now)),
        }
    }
}

/// A file in another encoding, and what nobody types.
fn check_characters(row: &Row) -> Result<(), Wrong> {
    for (field, text) in [("name", &row.name), ("email", &row.email), ("code", &row.code), ("rate", &row.rate)] {
        if text.contains('\u{fffd}') {
            return Err((field, "Some letters cannot be read. Save the file as CSV in UTF-8.".to_owned()));
        }
        if text.chars().any(|letter| letter.is_control() && !letter.is_whitespace()) {
            return Err((field, "There is a character in it that cannot be shown.".to_owned()));
        }
    }
    if row.name.chars().count() > MAX_CHARACTERS {
        return Err(("name", format!("A name has at most {MAX_CHARACTERS} characters.")));
    }
    Ok(())
}

/// `20`, `12.5 %` or `12,5`.
fn read_percent(text: &str) -> Result<u32, String> {
    let digits = text.trim().trim_end_matches('%').trim();
    let with_point = if digits.contains('.') { digits.to_owned() } else { digits.replacen(',', ".", 1) };
    percent_to_ppm(&with_point)
        .map_err(|_| format!("{text} is no percentage from 0 to 100 with at most four digits after the point."))
}

#[cfg(test)]
mod tests;
