/* See sanitized.h. */
#include "sanitized.h"

#include <stdlib.h>

uint32_t every(uint32_t n)
{
	return getenv("SAN") ? n : 1;
}
