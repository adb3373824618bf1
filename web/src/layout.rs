//! What surrounds every page: rail, top bar, marks and banner.

use crate::assets;
use crate::backend::VendorView;
use crate::links::Link;
use crate::range::{Preset, RangeChoice, bucket_name};
use crate::session::{Here, Visitor};
use crate::view::View;
use api::model::Bucket;
use domain::ids::Mode;

/// A page of the rail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the product's words
pub enum Section {
    Dashboard,
    Redemptions,
    Affiliates,
    Rules,
    Alerts,
    Connections,
    Workspace,
}

impl Section {
    const ALL: [Section; 7] = [
        Section::Dashboard,
        Section::Redemptions,
        Section::Affiliates,
        Section::Rules,
        Section::Alerts,
        Section::Connections,
        Section::Workspace,
    ];

    /// The word in the URL.
    pub fn path(self) -> &'static str {
        match self {
            Section::Dashboard => "dashboard",
            Section::Redemptions => "redemptions",
            Section::Affiliates => "affiliates",
            Section::Rules => "rules",
            Section::Alerts => "alerts",
            Section::Connections => "connections",
            Section::Workspace => "settings",
        }
    }

    /// The word in the rail.
    pub fn label(self) -> &'static str {
        match self {
            Section::Dashboard => "Dashboard",
            Section::Redemptions => "Redemptions",
            Section::Affiliates => "Affiliates",
            Section::Rules => "Rules",
            Section::Alerts => "Alerts",
            Section::Connections => "Connections",
            Section::Workspace => "Workspace",
        }
    }
}

/// A link that may be where the visitor already is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Words.
    pub label: String,
    /// Where it leads.
    pub href: String,
    /// The visitor is here.
    pub is_current: bool,
    /// A word that says more, or empty: `demo`, or the name of an icon.
    pub mark: &'static str,
}

/// The range picker of the top bar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangePicker {
    /// The usual presets as links.
    pub presets: Vec<Choice>,
    /// The rarer ones, in the menu.
    pub more_presets: Vec<Choice>,
    /// What the menu shows on its button: empty while one of the usual presets is shown.
    pub chosen_in_menu: String,
    /// First day, for the date field.
    pub from: String,
    /// Last day.
    pub to: String,
    /// Bucket choices with whether they are chosen.
    pub buckets: Vec<Choice>,
    /// Where the form leads.
    pub action: String,
    /// Goes with the form, where the page has modes.
    pub mode: Option<&'static str>,
    /// Goes with the form, unless it is the usual comparison.
    pub compare: Option<&'static str>,
}

/// Everything around a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Of the page.
    pub title: String,
    /// The vendor shown.
    pub vendor: VendorView,
    /// The vendor switch.
    pub vendors: Vec<Choice>,
    /// The rail.
    pub sections: Vec<Choice>,
    /// What stands below the part that is fetched again; usually empty.
    pub below: String,
    /// Alerts that nobody said anything about.
    pub open_alerts: usize,
    /// Test and live as links, when both have data.
    pub modes: Vec<Choice>,
    /// `test` or `live`.
    pub mode: &'static str,
    /// Range picker, on pages that have a range.
    pub picker: Option<RangePicker>,
    /// Where the search field leads; empty where the page has its own.
    pub search_action: String,
    /// The live stream; empty where a page does not listen.
    pub live_url: String,
    /// `12:03` in the vendor's time zone; empty where a page has no watermark.
    pub as_of: String,
    /// Where *Connect Stripe* leads.
    pub connect_href: String,
    /// The page of the workspace itself.
    pub settings_href: String,
    /// The banner of the demo leads there too; not where the form is.
    pub has_connect_button: bool,
    /// The chart's script is needed.
    pub has_chart: bool,
    /// Embedded script.
    pub script: &'static str,
    /// Embedded chart script.
    pub chart_script: &'static str,
}

impl Layout {
    /// The frame of a page of this section.
    pub fn new(title: &str, section: Section, visitor: &Visitor, here: &Here) -> Layout {
        let slug = here.vendor.slug.as_str();
        let mode = here.place.mode;
        let page_of =
            |section: Section, mode: Mode| Link::to(&[slug, section.path()]).with("mode", mode.name()).build();
        let sections = Section::ALL.into_iter().map(|each| Choice {
            label: each.label().into(),
            href: page_of(each, mode),
            is_current: each == section,
            mark: each.path(),
        });
        let vendors = visitor.session.vendors.iter().map(|vendor| Choice {
            label: vendor.name.clone(),
            href: Link::to(&[&vendor.slug, Section::Dashboard.path()]).build(),
            is_current: vendor.slug == slug,
            mark: if vendor.is_demo { "demo" } else { "" },
        });
        Layout {
            title: title.into(),
            vendors: vendors.collect(),
            sections: sections.collect(),
            below: String::new(),
            open_alerts: here.open_alerts,
            modes: mode_links(here, |other| page_of(section, other)),
            mode: mode.name(),
            picker: None,
            search_action: Link::to(&[slug, Section::Redemptions.path()]).build(),
            live_url: Link::to(&[slug, "live"]).with("mode", mode.name()).build(),
            as_of: String::new(),
            connect_href: connect_link(visitor, &here.vendor),
            settings_href: page_of(Section::Workspace, mode),
            has_connect_button: section != Section::Connections,
            has_chart: false,
            script: assets::APP_JS,
            chart_script: assets::CHART_JS,
            vendor: here.vendor.clone(),
        }
    }

    /// With a range picker, on the page of this path below the vendor's.
    pub(crate) fn with_picker(mut self, page: &[&str], view: &View) -> Layout {
        let path: Vec<&str> = std::iter::once(self.vendor.slug.as_str()).chain(page.iter().copied()).collect();
        self.picker = Some(RangePicker::new(&path, Some(self.mode), view));
        self
    }
}

impl RangePicker {
    /// For the page of this path.
    pub(crate) fn new(path: &[&str], mode: Option<&'static str>, view: &View) -> RangePicker {
        let choice = view.range;
        let preset_choice = |preset: Preset| Choice {
            label: preset.label().into(),
            // The bars are chosen anew: those of a short range may be too many for a long one.
            href: View { range: RangeChoice::Preset(preset), bucket: None, ..*view }
                .link(Link::to(path).with_some("mode", mode))
                .build(),
            is_current: choice.preset() == Some(preset),
            mark: "",
        };
        let (rare, usual): (Vec<Preset>, Vec<Preset>) = Preset::ALL.into_iter().partition(|preset| preset.is_month());
        let (from, to) = choice.resolve(view.today);
        let chosen_in_menu = match choice.preset() {
            Some(preset) if preset.is_month() => preset.label().to_owned(),
            Some(_) => String::new(),
            None => crate::times::range(from, to),
        };
        RangePicker {
            presets: usual.into_iter().map(preset_choice).collect(),
            more_presets: rare.into_iter().map(preset_choice).collect(),
            chosen_in_menu,
            from: from.to_string(),
            to: to.to_string(),
            buckets: bucket_choices(view.bucket),
            action: Link::to(path).build(),
            mode,
            compare: view.compare_name(),
        }
    }
}

fn mode_links(here: &Here, page_in: impl Fn(Mode) -> String) -> Vec<Choice> {
    let both = here.modes.contains(&Mode::Live) && here.modes.contains(&Mode::Test);
    if !both && (here.modes.is_empty() || here.modes.contains(&here.place.mode)) {
        return Vec::new();
    }
    [Mode::Live, Mode::Test]
        .into_iter()
        .map(|mode| Choice {
            label: if mode.is_live() { "Live mode".into() } else { "Test mode".into() },
            href: page_in(mode),
            is_current: mode == here.place.mode,
            mark: mode.name(),
        })
        .collect()
}

/// From the demo, *Connect Stripe* leads to the first real vendor, or to the demo's own form.
fn connect_link(visitor: &Visitor, current: &VendorView) -> String {
    let real = visitor.session.vendors.iter().find(|vendor| !vendor.is_demo);
    let vendor = if current.is_demo { real.unwrap_or(current) } else { current };
    Link::to(&[&vendor.slug, Section::Connections.path()]).build()
}

fn bucket_choices(chosen: Option<Bucket>) -> Vec<Choice> {
    let words = [None, Some(Bucket::Hour), Some(Bucket::Day), Some(Bucket::Week), Some(Bucket::Month)];
    words
        .into_iter()
        .map(|bucket| {
            let name = bucket.map_or("auto", bucket_name);
            Choice { label: crate::words::sentence(name), href: name.into(), is_current: bucket == chosen, mark: "" }
        })
        .collect()
}
