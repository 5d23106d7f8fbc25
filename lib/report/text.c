/* Text as it is shown; see text.h. */
#include "report/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLACEMENT "\xEF\xBF\xBD"

/* The bytes of the code point at `s` into *code; 0 where there is none (RFC 3629: shortest form, no surrogates). */
static size_t decode(const unsigned char *s, uint32_t *code)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = s[0] < 0x80             ? 1
		   : (s[0] & 0xE0) == 0xC0 ? 2
		   : (s[0] & 0xF0) == 0xE0 ? 3
		   : (s[0] & 0xF8) == 0xF0 ? 4
					   : 0;
	if (n <= 1) {
		*code = s[0];
		return n;
	}
	uint32_t c = s[0] & (0x7Fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xC0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3Fu);
	}
	*code = c;
	return c < least[n] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000) ? 0 : n;
}

size_t cop_text_width(const char *s)
{
	size_t width = 0;
	uint32_t code;
	for (const unsigned char *p = (const unsigned char *)s; *p; width++) {
		size_t n = decode(p, &code);
		p += n ? n : 1;
	}
	return width;
}

char *cop_text_clean(const char *s)
{
	struct cop_str b = {0};
	uint32_t code;
	for (const char *p = s; *p;) {
		size_t n = decode((const unsigned char *)p, &code);
		bool control = code < 0x20 || (code >= 0x7F && code < 0xA0);
		if (!n || control)
			cop_str_add(&b, REPLACEMENT);
		else
			cop_str_addn(&b, p, n);
		p += n ? n : 1;
	}
	return cop_str_take(&b);
}

const char *cop_text_number(double v, char buf[COP_NUMBER_TEXT])
{
	/* a step is 4100, not 4.1e+03 */
	if (v == floor(v) && fabs(v) < 1e15) {
		snprintf(buf, COP_NUMBER_TEXT, "%.0f", v);
		return buf;
	}
	for (int digits = 1; digits <= 17; digits++) {
		snprintf(buf, COP_NUMBER_TEXT, "%.*g", digits, v);
		if (v != v || strtod(buf, NULL) == v)
			break;
	}
	return buf;
}

const char *cop_text_short(double v, char buf[COP_NUMBER_TEXT])
{
	static const char units[] = "kMGT";
	int unit = -1;
	for (; unit < 3 && fabs(v) >= 999.95; unit++)
		v /= 1000;
	if (unit < 0)
		snprintf(buf, COP_NUMBER_TEXT, "%.4g", v);
	else
		snprintf(buf, COP_NUMBER_TEXT, fabs(v) < 1e15 ? "%.1f%c" : "%.3g%c", v, units[unit]);
	return buf;
}

const char *cop_text_count(int64_t v, char buf[COP_NUMBER_TEXT])
{
	char digits[COP_NUMBER_TEXT];
	int n = snprintf(digits, sizeof(digits), "%" PRId64, v), at = 0;
	for (int i = 0; i < n; i++) {
		buf[at++] = digits[i];
		if (digits[i] != '-' && i + 1 < n && (n - i - 1) % 3 == 0)
			buf[at++] = ',';
	}
	buf[at] = '\0';
	return buf;
}

const char *cop_text_duration(double seconds, char buf[COP_NUMBER_TEXT])
{
	static const struct {
		double below, unit;
		const char *name;
	} units[] = {{100, 1, "s"}, {100 * 60, 60, "min"}, {100 * 3600, 3600, "h"}, {INFINITY, 86400, "days"}};
	size_t i = 0;
	while (!(seconds < units[i].below) && i < 3)
		i++;
	double v = seconds / units[i].unit;
	snprintf(buf, COP_NUMBER_TEXT, "%.*f %s", v < 9.95 ? 1 : 0, v, units[i].name);
	return buf;
}

const char *cop_text_hours(double hours, char buf[COP_NUMBER_TEXT])
{
	if (!(fabs(hours) >= 999.5 && fabs(hours) < 1e15)) {
		snprintf(buf, COP_NUMBER_TEXT, "%.3g", hours);
		return buf;
	}
	double step = pow(10, floor(log10(hours)) - 2);
	return cop_text_count(llround(round(hours / step) * step), buf);
}

const char *cop_text_bytes(double bytes, char buf[COP_NUMBER_TEXT])
{
	static const char units[] = "kMGTP";
	int unit = 0;
	double v = bytes / 1000;
	for (; unit < 4 && v >= 999.5; unit++)
		v /= 1000;
	snprintf(buf, COP_NUMBER_TEXT, "%.*f %cB", v < 9.95 ? 1 : 0, v, units[unit]);
	return buf;
}

static const char *entity(char c)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\'':
		return "&#39;";
	default:
		return NULL;
	}
}

void cop_text_html(struct cop_str *b, const char *s)
{
	char *clean = cop_text_clean(s);
	cop_str_add(b, "");
	for (const char *p = clean; *p; p++) {
		const char *e = entity(*p);
		if (e)
			cop_str_add(b, e);
		else
			cop_str_addn(b, p, 1);
	}
	free(clean);
}

void cop_text_pad(struct cop_str *b, const char *s, size_t width, bool right)
{
	size_t w = cop_text_width(s);
	int gap = w < width ? (int)(width - w) : 0;
	if (right)
		cop_str_addf(b, "%*s%s", gap, "", s);
	else
		cop_str_addf(b, "%s%*s", s, gap, "");
}
