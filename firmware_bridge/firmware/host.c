/* For the shared library that tests load: the one function of the hardware that the portable part calls. */
#include "hal.h"

void hal_blink(void)
{
}
