// The one script of every page. Pages can be read without it.
import "htmx.org";
import { startChart } from "./chart-loader.js";
import { startCopying } from "./copy.js";
import { startFiles } from "./files.js";
import { startFilters } from "./filters.js";
import { startLive } from "./live.js";
import { startMenus } from "./menus.js";

startMenus();
startCopying();
startFilters();
startFiles();
startChart();
startLive();
