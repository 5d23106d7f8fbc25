/* results.csv; see csv.h. */
#include "report/csv.h"

#include "base/file.h"
#include "report/text.h"
#include "store/row_fields.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void add_text(struct cop_str *b, const char *s)
{
	/* a fixed-length field may come from a file without its end */
	size_t n = strnlen(s, COP_TEXT - 1), plain = 0;
	while (plain < n && !strchr(",\"\r\n", s[plain]))
		plain++;
	if (plain == n) {
		cop_str_addn(b, s, n);
		return;
	}
	cop_str_add(b, "\"");
	for (size_t i = 0; i < n; i++)
		cop_str_addn(b, s[i] == '"' ? "\"\"" : &s[i], s[i] == '"' ? 2 : 1);
	cop_str_add(b, "\"");
}

static void add_field(struct cop_str *b, const struct cop_row *row, const struct cop_row_field *d)
{
	const void *v = (const char *)row + d->offset;
	char number[COP_NUMBER_TEXT];
	switch (d->kind) {
	case COP_FIELD_I64:
		cop_str_addf(b, "%" PRId64, *(const int64_t *)v);
		break;
	case COP_FIELD_F64:
		if (!isnan(*(const double *)v))
			cop_str_add(b, cop_text_number(*(const double *)v, number));
		break;
	case COP_FIELD_TEXT:
		add_text(b, v);
		break;
	}
}

char *cop_csv_text(const struct cop_row *row, size_t n)
{
	struct cop_str b = {0};
	for (size_t k = 0; k < cop_row_nfields; k++)
		cop_str_addf(&b, "%s%s", k ? "," : "", cop_row_fields[k].name);
	cop_str_add(&b, "\n");
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < cop_row_nfields; k++) {
			cop_str_add(&b, k ? "," : "");
			add_field(&b, &row[i], &cop_row_fields[k]);
		}
		cop_str_add(&b, "\n");
	}
	return cop_str_take(&b);
}

int cop_csv_write(const char *path, const struct cop_row *row, size_t n, struct cop_err *err)
{
	char *text = cop_csv_text(row, n);
	int rc = cop_write_file(path, text, strlen(text), err);
	free(text);
	return rc;
}
