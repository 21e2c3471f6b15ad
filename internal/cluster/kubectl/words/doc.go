// Package words keeps kubectl's translations for those who use kubectl.
//
// kubectl reads them while the program starts, whatever command it was given:
// a zip archive that is made and read again took a third of the time to the
// first line of main and 4 MB. The package must be initialised before those of
// kubectl's commands; it is, because Go initialises packages in the order of
// their paths where nothing else decides.
package words
