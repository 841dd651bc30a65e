"""report.html: a run, or several side by side, on a page that opens offline."""
