/* Text as it is shown: UTF-8 that a terminal, a JSON reader and a browser can trust, whatever the file held. */
#ifndef COP_REPORT_TEXT_H
#define COP_REPORT_TEXT_H

#include "base/str.h"

enum { COP_NUMBER_TEXT = 32 };

/* How many code points `s` has; a byte that belongs to none counts as one. */
size_t cop_text_width(const char *s);

/* A copy in which every control character and every byte that is not UTF-8 is U+FFFD. The caller frees. */
char *cop_text_clean(const char *s);

/* The shortest decimal text that reads back as the same double; "nan", "inf" as printf has them. Returns buf. */
const char *cop_text_number(double v, char buf[COP_NUMBER_TEXT]);

/* 25728512 as "25.7M": below 1000 as it is, then k, M, G or T with one digit behind the point. Returns buf. */
const char *cop_text_short(double v, char buf[COP_NUMBER_TEXT]);

/* Seconds as "45 s", "12 min", "3.4 h" or "12 days". Returns buf. */
const char *cop_text_duration(double seconds, char buf[COP_NUMBER_TEXT]);

/* Hours with the digits that an estimate has: "0.0123", "4.56", "123", "12,300". Returns buf. */
const char *cop_text_hours(double hours, char buf[COP_NUMBER_TEXT]);

/* Bytes as "640 kB", "1.2 MB", "34 GB". Returns buf. */
const char *cop_text_bytes(double bytes, char buf[COP_NUMBER_TEXT]);

/* 12345678 as "12,345,678". Returns buf. */
const char *cop_text_count(int64_t v, char buf[COP_NUMBER_TEXT]);

/* Appends `s`, cleaned, with &, <, >, " and ' escaped: good in text and in a quoted attribute. */
void cop_text_html(struct cop_str *b, const char *s);

/* Appends "s" spaced out to `width` code points: to its left where `right`, else behind it. */
void cop_text_pad(struct cop_str *b, const char *s, size_t width, bool right);

#endif
