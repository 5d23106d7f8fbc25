/* The style sheet of the page, and of the figures in it. Not for other files. */
#ifndef COP_REPORT_HTML_STYLE_H
#define COP_REPORT_HTML_STYLE_H

extern const char cop_html_style[];

#endif
