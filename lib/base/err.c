/* Error values; see err.h. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fill(struct cop_err *err, int code, const char *tail, const char *fmt, va_list ap)
{
	if (!err)
		return code;
	char msg[sizeof(err->msg)];
	int n = vsnprintf(msg, sizeof(msg), fmt, ap);
	if (tail && n >= 0 && (size_t)n < sizeof(msg))
		snprintf(msg + n, sizeof(msg) - (size_t)n, ": %s", tail);
	memcpy(err->msg, msg, sizeof(msg));
	err->code = code;
	return code;
}

int cop_fail(struct cop_err *err, int code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fill(err, code, NULL, fmt, ap);
	va_end(ap);
	return code;
}

int cop_fail_errno(struct cop_err *err, int code, const char *fmt, ...)
{
	const char *why = strerror(errno);
	va_list ap;
	va_start(ap, fmt);
	fill(err, code, why, fmt, ap);
	va_end(ap);
	return code;
}

int cop_context(struct cop_err *err, const char *fmt, ...)
{
	if (!err)
		return COP_EFAILED;
	char before[sizeof(err->msg)];
	memcpy(before, err->msg, sizeof(before));
	va_list ap;
	va_start(ap, fmt);
	fill(err, err->code, before, fmt, ap);
	va_end(ap);
	return err->code;
}

void cop_bug(const char *file, int line, const char *what)
{
	fprintf(stderr, "coppice: bug at %s:%d: %s\n", file, line, what);
	abort();
}
