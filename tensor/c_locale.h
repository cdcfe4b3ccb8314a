/* tensor/c_locale.h (internal): numbers as text whose decimal point is a point, whatever setlocale() was told.
 *
 * Between the two calls the calling thread, and no other, formats and parses as C does. */
#ifndef TARN__C_LOCALE_H
#define TARN__C_LOCALE_H

#include <locale.h>

typedef struct tarn__c_locale {
    locale_t c, before; /* c is 0 where there is no memory for it: then nothing is changed */
} tarn__c_locale;

static inline tarn__c_locale tarn__c_locale_begin(void)
{
    tarn__c_locale l = {newlocale(LC_ALL_MASK, "C", (locale_t)0), (locale_t)0};
    if (l.c)
        l.before = uselocale(l.c);
    return l;
}

static inline void tarn__c_locale_end(tarn__c_locale l)
{
    if (!l.c)
        return;
    uselocale(l.before);
    freelocale(l.c);
}

#endif
