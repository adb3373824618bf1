use super::*;
use domain::decision::{MapCode, SetPolicy};

const NOW: Timestamp = Timestamp(1_790_000_000_000);

fn map(code: u64, text: &str, affiliate: Option<u64>) -> MapCode {
    MapCode {
        code_id: CodeId(code),
        provider: None,
        code: Some(text.into()),
        promotion_code_id: None,
        coupon_id: None,
        referral_key: None,
        affiliate: affiliate.map(AffiliateId),
        valid_from: None,
        valid_to: None,
    }
}

fn roster() -> Roster {
    let affiliate = |id: u64, key: &str| AffiliateInfo {
        id: AffiliateId(id),
        key: key.into(),
        name: format!("Known {key}"),
        suspended: false,
        email: Some(format!("{key}@example.com")),
    };
    Roster {
        affiliates: vec![affiliate(1, "anna"), affiliate(2, "ben")],
        codes: Vec::new(),
        mappings: vec![map(1, "ANNA20", Some(1)), map(2, "HOUSE", None)],
        rules: Vec::new(),
        policy: SetPolicy::default(),
    }
}

fn plan(text: &str) -> ImportPlan {
    ImportPlan::new(text, &roster(), NOW).unwrap()
}

fn refused(text: &str) -> FileError {
    ImportPlan::new(text, &roster(), NOW).unwrap_err()
}

fn wrong_fields(plan: &ImportPlan) -> Vec<(u64, &'static str)> {
    let of = |row: &PlannedRow| match &row.outcome {
        RowOutcome::Wrong { field, .. } => Some((row.line, *field)),
        _ => None,
    };
    plan.rows.iter().filter_map(of).collect()
}

#[test]
fn separators_orders_marks_and_letters_of_headers_do_not_matter() {
    for text in [
        "name,email,code,rate\nCleo,cleo@example.com,CLEO1,15\n",
        "\u{feff}Rate;E-Mail;Name;CODES\r\n15 %;Cleo@Example.com;Cleo;CLEO1\r\n",
        "\n\nEMAIL\tname\tphone\tcode\trate\ncleo@example.com\tCleo\t1\tCLEO1\t15.0\n\n",
        "\"name\",\"email\",\"code\",\"rate\"\n\" Cleo \",\"cleo@example.com\",CLEO1,\"15,0\"",
    ] {
        let plan = plan(text);
        let gets = vec!["Gets the code CLEO1.".to_owned(), "Earns 15 %.".to_owned()];
        assert_eq!(plan.rows[0].outcome, RowOutcome::New(gets), "{text}");
        assert_eq!(plan.rows.len(), 1);
        assert_eq!(plan.clone().batches().concat().len(), 3);
    }
    assert_eq!(plan("email,shoe size\nanna@example.com,39").ignored_columns, ["shoe size"]);
}

#[test]
fn lines_are_counted_as_an_editor_does() {
    for end in ["\n", "\r\n", "\r"] {
        let text = ["name,email", "\"Two", "lines\",x", "", "Bad,y"].join(end);
        assert_eq!(wrong_fields(&plan(&text)), [(2, "email"), (5, "email")], "{end:?}");
    }
}

#[test]
fn rows_of_one_address_belong_together() {
    let plan = plan(
        "name,email,code\nCleo,cleo@example.com,CLEO1\nSomebody,CLEO@example.com,CLEO2; cleo3 CLEO1\nAnna,anna@example.com,anna20\n",
    );
    assert_eq!(
        plan.rows[1].outcome,
        RowOutcome::Changed(vec!["Gets the code CLEO2.".to_owned(), "Gets the code cleo3.".to_owned()])
    );
    assert_eq!(plan.rows[2].outcome, RowOutcome::Unchanged, "letters' case is none of a code's");
    assert_eq!((plan.effective(), plan.wrong()), (2, 0));
}

#[test]
fn each_wrong_row_says_its_field_and_leaves_nothing_behind() {
    let plan = plan(
        "name,email,code,rate\n\
         Cleo,,C1,\n\
         Cleo,no-address,C1,\n\
         ,new@example.com,C1,\n\
         Cleo,cleo@example.com,ANNA20,\n\
         Cleo,cleo@example.com,HOUSE,\n\
         Cleo,cleo@example.com,C1,twenty\n\
         Cleo,cleo@example.com,C1,101\n\
         Dora,dora@example.com,C1,10\n\
         Cleo,cleo@example.com,C1,\n\
         Dora,dora@example.com,,20\n\
         D\u{fffd},d@example.com,,\n",
    );
    assert_eq!(
        wrong_fields(&plan),
        [
            (2, "email"),
            (3, "email"),
            (4, "name"),
            (5, "code"),
            (6, "code"),
            (7, "rate"),
            (8, "rate"),
            (10, "code"),
            (11, "rate"),
            (12, "name"),
        ]
    );
    assert_eq!(plan.effective(), 1, "only Dora's first row");
}

#[test]
fn what_is_no_table_is_refused_as_a_whole() {
    assert_eq!(refused(" \n"), FileError::Empty);
    assert_eq!(refused("name,code\na,b"), FileError::NoEmail);
    assert_eq!(refused("email\n\n"), FileError::NoRows);
    assert_eq!(refused("email,mail\na,b"), FileError::Twice("email"));
    assert_eq!(refused(&"x".repeat(MAX_BYTES + 1)), FileError::TooLong(MAX_BYTES + 1));
    let many = |rows: usize| format!("email\n{}", "a@example.com\n".repeat(rows));
    assert_eq!(refused(&many(MAX_ROWS + 1)), FileError::TooManyRows);
    assert_eq!(plan(&many(MAX_ROWS)).rows.len(), MAX_ROWS);
}

#[test]
fn batches_are_bounded_and_rows_stay_whole() {
    let rows: Vec<String> = (0..1_000).map(|n| format!("P{n},p{n}@example.com,A{n} B{n},10")).collect();
    let batches = plan(&format!("name,email,code,rate\n{}", rows.join("\n"))).batches();
    assert_eq!(batches.concat().len(), 4_000);
    assert!(batches.iter().all(|batch| batch.len() <= BATCH_DECISIONS));
    assert!(batches.iter().all(|batch| matches!(&batch[0], DecisionInput::Affiliate(_))));
}

#[test]
fn a_known_person_earns_a_new_rate_from_now_on() {
    let DecisionInput::Rule(rule) = &plan("email,rate\nanna@example.com,25").batches()[0][0] else { panic!() };
    assert_eq!((rule.percent_ppm, rule.effective_from), (Some(250_000), Some(Moment(NOW))));
}
