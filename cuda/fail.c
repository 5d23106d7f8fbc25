/* See fail.h. */
#include "fail.h"

#include <stdarg.h>
#include <stdio.h>

int cop_cuda_fail(struct cop_err *err, int code, const char *fmt, ...)
{
	va_list args;
	if (!err)
		return code;
	va_start(args, fmt);
	vsnprintf(err->msg, sizeof(err->msg), fmt, args);
	va_end(args);
	err->code = code;
	return code;
}
