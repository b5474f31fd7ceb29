plugins {
    id("com.android.application")
    id("org.jetbrains.kotlin.android")
}

android {
    namespace = "edgeskel.sample"
    compileSdk = 35
    defaultConfig {
        applicationId = "edgeskel.sample"
        minSdk = 24
        targetSdk = 35
        versionCode = 1
        versionName = "1"
        ndk { abiFilters += "arm64-v8a" }
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
    kotlinOptions { jvmTarget = "17" }
    androidResources { noCompress += listOf("pte", "task") }
}

dependencies {
    implementation(project(":edgeskel"))
    implementation("androidx.activity:activity-ktx:1.9.3")
    implementation("androidx.camera:camera-camera2:1.4.1")
    implementation("androidx.camera:camera-lifecycle:1.4.1")
    implementation("androidx.camera:camera-view:1.4.1")
    implementation("com.google.mediapipe:tasks-vision:0.10.29")
}

// An app without its models would open and recognise nothing: better that it does not build.
val models = tasks.register("checkModels") {
    val assets = layout.projectDirectory.dir("src/main/assets")
    doLast {
        for (file in listOf("edgeskel/manifest.json", "edgeskel/manifest.sha256", "pose_landmarker_lite.task")) {
            check(assets.file(file).asFile.isFile) { "src/main/assets/$file is missing: see README.md" }
        }
    }
}
tasks.named("preBuild") { dependsOn(models) }
