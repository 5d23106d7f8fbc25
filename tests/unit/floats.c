/* See floats.h. */
#include "floats.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

float *floats(size_t n)
{
	float *p = NULL;
	struct cop_err err = {0};
	if (cop_alloc(&p, n, sizeof(*p), "a test", &err))
		fail_msg("%s", err.msg);
	return p;
}

float *floats_of(size_t n, float value)
{
	float *p = floats(n);
	for (size_t i = 0; i < n; i++)
		p[i] = value;
	return p;
}
