# A template: put in the version, the checksum that the macOS workflow wrote, and where releases are.
cask "hearth" do
  version "VERSION"
  sha256 "SHA256"

  url "RELEASES/v#{version}/Hearth.dmg"
  name "Hearth"
  desc "Local LLM server and its manager in one program"
  homepage "HOMEPAGE"

  depends_on macos: ">= :sonoma"
  depends_on arch: :arm64

  app "Hearth.app"
  binary "#{appdir}/Hearth.app/Contents/MacOS/hearth"

  uninstall launchctl: "org.hearth.app",
            script:    {
              executable:   "#{appdir}/Hearth.app/Contents/MacOS/hearth",
              args:         ["stop"],
              must_succeed: false,
            }

  zap trash: [
    "~/Library/Application Support/Hearth",
    "~/Library/LaunchAgents/org.hearth.app.plist",
    "~/Library/Logs/Hearth",
  ]
end
