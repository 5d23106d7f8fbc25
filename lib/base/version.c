/* The version; see version.h. The Makefile defines COP_COMMIT for this file alone. */
#include "base/version.h"

#ifndef COP_COMMIT
#define COP_COMMIT "unknown"
#endif

const char *cop_version(void)
{
	return "0.1.0 (" COP_COMMIT ")";
}
