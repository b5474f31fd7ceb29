package edgeskel.android

import android.content.Context
import edgeskel.Manifest
import edgeskel.Mode
import edgeskel.Session
import java.io.File
import java.io.FileNotFoundException

/**
 * A bundle among the app's assets. ExecuTorch loads files, so the artifact is copied out once for each manifest.
 *
 * Only `manifest.json`, `manifest.sha256` and the artifact are needed: the other files of a bundle may stay out of the app.
 */
object AssetBundle {
    /**
     * Checks the bundle and loads its network.
     *
     * @param folder of the bundle, under `assets`.
     * @param precision fp32 or int8; null takes the one that the bundle lists first.
     * @param threshold calibrated probability under which an action is unknown; null is the bundle's own.
     * @param mode null streams where the bundle has an artifact for it (`model.step.pte`), else takes windows.
     * @param maxPersons persons that are followed at a time, where the recogniser sees one at a time.
     * @throws edgeskel.BadBundle the manifest or the artifact was altered or is not for this package.
     */
    fun open(
        context: Context,
        folder: String = "edgeskel",
        precision: String? = null,
        threshold: Double? = null,
        mode: Mode? = null,
        maxPersons: Int = 4
    ): Session {
        val manifest = Manifest.read(context.assets.open("$folder/manifest.json").use { it.readBytes() }, seal(context, folder))
        val chosen = manifest.artifact(precision, mode)
        val artifact = chosen.file
        val copy = File(File(context.noBackupFilesDir, "edgeskel"), "${manifest.digests.getValue(artifact)}.pte")
        if (!copy.isFile) {
            copy.parentFile!!.mkdirs()
            val part = File.createTempFile("part", null, copy.parentFile)
            context.assets.open("$folder/$artifact").use { from -> part.outputStream().use { from.copyTo(it) } }
            part.inputStream().use { manifest.check(artifact, it) }
            if (!part.renameTo(copy)) throw java.io.IOException("cannot rename $part to $copy")
        }
        copy.inputStream().use { manifest.check(artifact, it) }
        val config = manifest.events(threshold)
        return if (chosen.form == "step") Session(manifest, ExecutorchStepNetwork(copy, manifest), config, maxPersons)
        else Session(manifest, ExecutorchNetwork(copy, manifest), config, maxPersons)
    }

    private fun seal(context: Context, folder: String): String? = try {
        context.assets.open("$folder/${Manifest.SEAL}").use { String(it.readBytes(), Charsets.UTF_8) }
    } catch (error: FileNotFoundException) {
        null // of schema 1, or Manifest.read says that it is missing
    }
}
